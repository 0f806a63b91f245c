"""What stands under a name of `webhooks:`: how a source is taken in, and where it is brought."""

from mainstay.edge.delivery.settings import DeliverySettings
from mainstay.edge.inbox.settings import IntakeSettings


class WebhookSettings(IntakeSettings, DeliverySettings):
    """A source of webhooks: who sends them, how that is proven, and who takes them."""
