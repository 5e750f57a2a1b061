"""Beanie's documents on a database of this driver: links, transactions, migrations, and which sessions they use."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, cast

import pytest
from beanie import (
    After,
    Before,
    BulkWriter,
    Document,
    Indexed,
    Insert,
    Link,
    UnionDoc,
    View,
    WriteRules,
    before_event,
    init_beanie,
)
from beanie.migrations.database import DBHandler
from beanie.migrations.models import RunningDirections, RunningMode
from beanie.migrations.runner import MigrationNode
from pymongo import IndexModel
from pymongo.errors import DuplicateKeyError

import wiredrv
from tests.support.commands import CommandLog
from wiredrv.errors import InvalidOperation

pytestmark = pytest.mark.anyio

#: Beanie runs actions, and what belongs to lists of links, by ``asyncio.gather``.
on_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])
NO_ACTIONS: list[Any] = [Before, After]


class Author(Document):
    name: Annotated[str, Indexed(unique=True)]
    greeted: bool = False

    @before_event(Insert)
    async def greet(self) -> None:
        self.greeted = True


class Story(Document):
    title: str
    authors: list[Link[Author]] = []

    class Settings:
        indexes = [IndexModel([("title", 1)], name="titles")]


class Reader(Document):
    name: str
    favourite: Link[Author] | None = None

    @before_event(Insert)
    async def meet(self) -> None:
        await Author(name=f"pen pal of {self.name}").insert()


@asynccontextmanager
async def scene(uri: str, database: str) -> AsyncIterator[tuple[wiredrv.Client, CommandLog]]:
    """Beanie on a database of its own, and the commands of its client from here on."""
    log = CommandLog()
    async with wiredrv.Client(uri, event_listeners=[log]) as client:
        await init_beanie(database=cast(Any, client[database]), document_models=[Author, Story, Reader])
        log.clear()
        yield client, log
        await client.drop_database(database)


class Halt(Exception):
    """The error by which a test leaves a block."""


async def halted(block: AbstractAsyncContextManager[Any], work: Callable[[Any], Awaitable[object]]) -> None:
    """Do something in a block, and leave it by an error."""
    async with block as entered:
        await work(entered)
        raise Halt


# --- documents ---


async def test_it_makes_itself_and_its_indexes_known(uri: str, database: str) -> None:
    async with scene(uri, database) as (client, _):
        stories = await client[database]["Story"].index_information()
        assert stories["titles"]["key"] == [("title", 1)]
        authors = await client[database]["Author"].index_information()
        assert [index["key"] for index in authors.values() if index.get("unique")] == [[("name", 1)]]


async def test_queries_run_on_both_event_loops(uri: str, database: str) -> None:
    async with scene(uri, database):
        await Author.insert_many([Author(name=name) for name in ("ada", "bob", "eve")])
        assert sorted([author.name async for author in Author.find_all()]) == ["ada", "bob", "eve"]
        assert [author.name for author in await Author.find(Author.name != "eve").sort("-name").to_list()] == [
            "bob",
            "ada",
        ]
        await Author.find(Author.name == "ada").update({"$set": {"greeted": True}})
        assert await Author.find(Author.greeted == True).count() == 1  # noqa: E712  # Beanie's spelling of a condition
        ada = await Author.find_one(Author.name == "ada")
        assert ada is not None
        await Author.find(Author.name == "eve").delete()
        assert await Author.distinct("name") == ["ada", "bob"]
        totals = await Author.aggregate([{"$group": {"_id": None, "n": {"$sum": 1}}}]).to_list()
        assert totals == [{"_id": None, "n": 2}]


async def test_documents_without_actions_are_saved_on_both_event_loops(uri: str, database: str) -> None:
    async with scene(uri, database):
        story = await Story(title="Emma").insert(skip_actions=NO_ACTIONS)
        story.title = "Persuasion"
        await story.save(skip_actions=NO_ACTIONS)
        await story.set({"title": "Sanditon"}, skip_actions=NO_ACTIONS)
        assert [found.title async for found in Story.find_all()] == ["Sanditon"]
        await story.delete(skip_actions=NO_ACTIONS)
        assert await Story.count() == 0


@on_asyncio
async def test_its_errors_are_raised_for_this_driver_s(uri: str, database: str) -> None:
    async with scene(uri, database):
        await Author(name="ada").insert()
        with pytest.raises(DuplicateKeyError) as caught:
            await Author(name="ada").insert()
        assert type(cast(Any, caught.value)) is wiredrv.errors.DuplicateKeyError


@on_asyncio
async def test_links_are_written_and_fetched(uri: str, database: str) -> None:
    async with scene(uri, database):
        authors = [Author(name="ada"), Author(name="bob")]
        await Story(title="Emma", authors=cast(Any, authors)).insert(link_rule=WriteRules.WRITE)
        fetched = await Story.find_one(Story.title == "Emma", fetch_links=True)
        assert fetched is not None
        assert sorted(cast(Any, author).name for author in fetched.authors) == ["ada", "bob"]
        lazy = await Story.find_one(Story.title == "Emma")
        assert lazy is not None
        await cast(Any, lazy).fetch_all_links()
        assert sorted(cast(Any, author).name for author in lazy.authors) == ["ada", "bob"]


class Shelf(UnionDoc):
    class Settings:
        name = "shelf"


class Novel(Document):
    pages: int

    class Settings:
        union_doc = Shelf


class Poem(Document):
    verses: int

    class Settings:
        union_doc = Shelf


class LongNovel(View):
    pages: int

    class Settings:
        source = Novel
        pipeline = [{"$match": {"pages": {"$gt": 500}}}]


async def test_unions_views_and_bulk_writers_work(uri: str, database: str) -> None:
    async with scene(uri, database) as (client, log):
        models: list[Any] = [Shelf, Novel, Poem, LongNovel]
        await init_beanie(database=cast(Any, client[database]), document_models=models, recreate_views=True)
        log.clear()
        async with client.transaction() as session, BulkWriter(session=cast(Any, session)) as bulk:
            await Novel.insert_one(Novel(pages=300), bulk_writer=bulk)
            await Novel.insert_one(Novel(pages=800), bulk_writer=bulk)
            await Poem.insert_one(Poem(verses=14), bulk_writer=bulk)
        assert log.names == ["insert", "commitTransaction"]
        assert sorted([type(found).__name__ async for found in Shelf.all()]) == ["Novel", "Novel", "Poem"]
        assert [novel.pages async for novel in LongNovel.all()] == [800]


# --- sessions and transactions ---


@on_asyncio
async def test_a_transaction_is_committed_or_aborted_as_a_whole(uri: str, database: str) -> None:
    async with scene(uri, database) as (client, log):
        async with client.start_session() as session:

            async def write(_: object) -> None:
                await Author(name="ada").insert(session=cast(Any, session))
                await Story(title="Emma").insert(session=cast(Any, session))
                assert await Author.find_one(Author.name == "ada", session=cast(Any, session)) is not None
                assert await Author.find_one(Author.name == "ada") is None

            with pytest.raises(Halt):
                await halted(session.start_transaction(), write)
            assert (await Author.count(), await Story.count()) == (0, 0)
            async with await session.start_transaction():
                await write(None)
            assert (await Author.count(), await Story.count()) == (1, 1)
        assert log.names.count("commitTransaction") == log.names.count("abortTransaction") == 1


@on_asyncio
async def test_with_transaction_runs_a_callback_of_documents_again(uri: str, database: str) -> None:
    async with scene(uri, database) as (client, _):
        attempts = 0

        async def write(session: Any) -> None:
            nonlocal attempts
            attempts += 1
            await Author(name="ada").insert(session=session)
            if attempts == 1:
                raise wiredrv.errors.OperationFailure("a conflict", error_labels=["TransientTransactionError"])

        async with client.start_session() as session:
            await session.with_transaction(write)
        assert (attempts, await Author.count()) == (2, 1)


@on_asyncio
async def test_a_binding_reaches_documents_that_are_given_no_session(uri: str, database: str) -> None:
    async with scene(uri, database) as (client, log):

        async def write(_: object) -> None:
            ada = await Story(title="Emma").insert()
            ada.title = "Persuasion"
            await ada.save()
            assert await Story.find(Story.title == "Persuasion").count() == 1

        with pytest.raises(Halt):
            await halted(client.transaction(), write)
        assert all(command["autocommit"] is False for command in log.sent())
        assert await Story.count() == 0


@on_asyncio
async def test_what_beanie_gathers_takes_part_only_in_an_inherited_binding(uri: str, database: str) -> None:
    """Lists of links, and asynchronous actions, run in tasks that Beanie starts."""

    async def links(_: object) -> None:
        authors = cast(Any, [Author(name="ada"), Author(name="bob")])
        await Story(title="Emma", authors=authors).insert(link_rule=WriteRules.WRITE)

    async def action(_: object) -> None:
        await Reader(name="eve").insert()

    async with scene(uri, database) as (client, log):
        for work in (links, action):
            with pytest.raises(InvalidOperation, match="inherited a session"):
                await halted(client.transaction(), work)
            with pytest.raises(Halt):
                await halted(client.transaction(inherit=True), work)
        assert (await Author.count(), await Story.count(), await Reader.count()) == (0, 0, 0)
        assert all(command["autocommit"] is False for command in log.sent("insert"))


@on_asyncio
async def test_links_take_the_session_that_is_given_and_fetching_them_takes_none(uri: str, database: str) -> None:
    """``fetch_all_links`` has no argument for a session, so only a binding brings it into a transaction."""
    async with scene(uri, database) as (client, log):
        async with client.transaction(inherit=True) as session:
            authors = cast(Any, [Author(name="ada"), Author(name="bob")])
            await Story(title="Emma", authors=authors).insert(link_rule=WriteRules.WRITE, session=cast(Any, session))
            story = await Story.find_one(Story.title == "Emma", session=cast(Any, session))
            assert story is not None
            await cast(Any, story).fetch_all_links()
            assert sorted(cast(Any, author).name for author in story.authors) == ["ada", "bob"]
        assert all(command["autocommit"] is False for command in log.sent())


# --- migrations ---


@asynccontextmanager
async def migrating(uri: str, database: str, names: list[str]) -> AsyncIterator[tuple[Any, CommandLog]]:
    """Beanie's runner of migrations on a client of this driver, with notes that have these names."""
    log = CommandLog()
    async with wiredrv.Client(uri, event_listeners=[log]) as client:
        handler = cast(Any, DBHandler)
        handler.client, handler.database = client, client[database]
        notes = client[database]["notes"]
        await notes.insert_many([{"name": name} for name in names])
        yield notes, log
        await client.drop_database(database)


async def migrate(direction: RunningDirections) -> None:
    """Run all migrations in one direction, each in a transaction."""
    root = await MigrationNode.build(Path(__file__).parent / "migrations")
    await root.run(mode=RunningMode(direction=direction), allow_index_dropping=False, use_transaction=True)


@on_asyncio
async def test_a_migration_runs_in_a_transaction_there_and_back(uri: str, database: str) -> None:
    names = ["a", "b", "c", "d", "e"]
    async with migrating(uri, database, names) as (notes, log):
        await migrate(RunningDirections.FORWARD)
        assert sorted(await notes.distinct("title")) == names
        assert await notes.count_documents({"name": {"$exists": True}}) == 0
        # Several batches at once in one session: its operations take turns.
        replaced = [command for command in log.sent("update") if command["update"] == "notes"]
        assert len(replaced) == 3
        assert all(command["autocommit"] is False for command in replaced)
        await migrate(RunningDirections.BACKWARD)
        assert sorted(await notes.distinct("name")) == names
        assert log.names.count("commitTransaction") == 2


@on_asyncio
async def test_a_migration_that_fails_changes_nothing(uri: str, database: str) -> None:
    async with migrating(uri, database, ["a", "unfit"]) as (notes, log):
        with pytest.raises(ValueError, match="cannot be migrated"):
            await migrate(RunningDirections.FORWARD)
        assert await notes.distinct("title") == []
        assert "commitTransaction" not in log.names
