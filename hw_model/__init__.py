"""Hardware models: parts, designs, cycles, memory, energy and area, in closed form."""
