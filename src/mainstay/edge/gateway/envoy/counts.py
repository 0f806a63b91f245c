"""What is counted of an Envoy that mainstay runs, for `/metrics`."""

from mainstay.edge.http.meter import Family

UP = Family("mainstay_envoy_up", "1 while the Envoy that mainstay runs serves.", kind="gauge")
STARTS = Family("mainstay_envoy_starts", "How often Envoy was started; it is started again when it falls.")

FAMILIES = (UP, STARTS)
