"""How it is built: generators of HLS projects and RTL. Nothing here yet; the simulator does not depend on it."""
