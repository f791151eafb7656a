"""The plots of a study: `block.plots` draws all of them."""
