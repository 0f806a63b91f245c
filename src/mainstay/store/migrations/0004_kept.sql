-- Events that nobody is to be brought are counted and forgotten by age; those that were brought after a failure bear
-- witness that the inbox does its work. Other events are in neither index, so that taking them in costs nothing more.
CREATE INDEX inbox_kept ON inbox (source, received_at) WHERE state = 'kept';
CREATE INDEX inbox_saved ON inbox (delivered_at) WHERE state = 'delivered' AND attempts > 1;
