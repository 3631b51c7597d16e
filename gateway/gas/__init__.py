"""Gas and ventilation: exposure by place, air that is needed and measured, clearance after a blast, and gas tests before entry."""
