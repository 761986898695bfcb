"""Every layout of checkpoints that circulates, each with its writer and its consumer.

Nothing here knows of emoji_lightning: `write` and `consume` are other people's programs.
"""

from bare_layouts import bare_layouts
from container_layouts import container_layouts
from dict_layouts import dict_layouts
from layout_parts import Layout

LAYOUTS: tuple[Layout, ...] = (*bare_layouts(), *dict_layouts(), *container_layouts())
