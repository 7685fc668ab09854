"""The network: URLs in, the answers to them out, under the limits and the manners asked for."""
