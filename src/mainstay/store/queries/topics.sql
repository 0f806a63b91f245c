-- name: count
-- One more signal of a topic.
INSERT INTO topic (name, number) VALUES (:name, 1)
ON CONFLICT (name) DO UPDATE SET number = topic.number + 1
RETURNING number;

-- name: all
-- How often each topic was signalled.
SELECT name, number FROM topic;
