"""A migration of Beanie's: the field ``name`` of each note becomes ``title``."""

from beanie import Document, iterative_migration


class OldNote(Document):
    name: str

    class Settings:
        name = "notes"


class Note(Document):
    title: str

    class Settings:
        name = "notes"


class Forward:
    @iterative_migration(batch_size=2)  # type: ignore[untyped-decorator]  # Beanie's has no types
    async def rename(self, input_document: OldNote, output_document: Note) -> None:
        if input_document.name == "unfit":
            raise ValueError("this note cannot be migrated")
        output_document.title = input_document.name


class Backward:
    @iterative_migration(batch_size=2)  # type: ignore[untyped-decorator]  # Beanie's has no types
    async def rename_back(self, input_document: Note, output_document: OldNote) -> None:
        output_document.name = input_document.title
