"""Networks, the streams that they push forward, and weight matrices that are not arrays."""
