"""How it is built: generators of HLS projects and RTL, and the tools that prove them."""
