"""An Envoy that mainstay runs: it carries requests, and asks about each of them as any other proxy does.

Its configuration is the exported one, taken apart into files that Envoy watches, so that a change needs no new process
and cuts nobody off.
"""
