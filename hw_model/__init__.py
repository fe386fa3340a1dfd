"""What each operation costs: parts, units, memory, energy and area, in closed form."""
