"""From audio as it comes to a manifest: TTS output merged with its texts, and what a manifest holds, measured."""
