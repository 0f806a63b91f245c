"""What stands under a name of `webhooks:`: how a source is taken in, and where it is brought."""

from mainstay.edge.delivery.settings import DeliverySettings
from mainstay.edge.inbox.settings import IntakeSettings
from mainstay.store.inbox import KEPT, QUEUED


class WebhookSettings(IntakeSettings, DeliverySettings):
    """A source of webhooks: who sends them, how that is proven, and who takes them."""

    @property
    def first_state(self) -> str:
        """What is said of an event when it is put down: that it waits or, without a target, that it is kept."""
        return KEPT if self.deliver_to is None else QUEUED
