"""People of two servers in one room: of one server, or of the other."""

import asyncio

from people import Aio, Slix, run, until
from slixmpp.exceptions import PresenceError
from story import ok, please, soon


async def everybody(people, ask, wanted):
    """Waits until what everybody answers to `ask` is as wanted."""
    for person in people:
        await until(
            lambda person=person: ask(person) == wanted,
            lambda person=person: f"{person.name} has {ask(person)} in place of {wanted}",
        )


async def meet(people, room):
    """They enter, and see who they are to the room."""
    owner, friend, guest, other = people
    await owner.open(room, owner.name.title())
    await owner.affiliate(guest.jid, "member")
    for person in (friend, guest, other):
        await person.enter(room, person.name.title())
    belong = [("owner", owner), ("none", friend), ("member", guest), ("none", other)]
    wanted = {person.name.title(): affiliation for affiliation, person in belong}
    await everybody(people, lambda person: person.affiliations(), wanted)
    # Who moderates sees who they are, others do not.
    assert owner.addresses() == {one.name.title(): one.jid for one in people}, owner.addresses()
    for person in (friend, guest, other):
        assert set(person.addresses().values()) <= {person.jid}, person.addresses()
    ok("enter")


async def talk(people):
    """All speak at the same time, and hear the same in the same order."""
    for number in range(3):
        for person in people:
            person.say(f"{person.name} says {number}")
    await everybody(people, lambda person: len(person.said), 3 * len(people))
    for person in people:
        for speaker in people:
            heard = [text for nick, text, _ in person.said if nick == speaker.nick]
            assert heard == [f"{speaker.name} says {number}" for number in range(3)], heard
    ok("talk")
    await everybody(people, lambda person: person.said, people[0].said)
    assert len({name for _, _, name in people[0].said}) == 3 * len(people), people[0].said
    ok("order")


async def change(people, room):
    """A new nickname, a subject, and what only one hears."""
    owner, friend, guest, other = people
    for person in (guest, other):
        await person.rename(f"{person.nick} the Great")
        nicks = {person.nick for person in people}
        await everybody(people, lambda person: set(person.occupants()), nicks)
    assert not any(person.gone for person in people), [person.gone for person in people]
    ok("nick")
    owner.set_subject("Of <b>gardens</b> & Ünïcödé")
    await everybody(people, lambda person: person.subject, "Of <b>gardens</b> & Ünïcödé")
    ok("subject")
    for one, two in ((guest, owner), (other, friend)):
        one.text(f"{room}/{two.nick}", "for you alone")
        heard = await soon(two.texts.get(), f"{two.name} is told something")
        assert heard[:2] == (f"{room}/{one.nick}", "for you alone"), heard
        two.text(f"{room}/{one.nick}", "and for you")
        heard = await soon(one.texts.get(), f"{one.name} is answered")
        assert heard[:2] == (f"{room}/{two.nick}", "and for you"), heard
    assert all(person.texts.empty() for person in people)
    ok("private")


async def part(people, room):
    """One is kicked, one leaves; they are invited and read what they missed."""
    owner, friend, guest, other = people
    nick = other.nick
    await owner.kick(nick, "It is late.")
    assert 307 in await soon(other.out.get(), "the kick")
    await everybody([owner, friend, guest], lambda person: 307 in person.gone.get(nick, ()), True)
    ok("kick")
    nick = friend.nick
    await friend.leave()
    await everybody([owner, guest], lambda person: nick in person.gone, True)
    nicks = {owner.nick, guest.nick}
    await everybody([owner, guest], lambda person: set(person.occupants()), nicks)
    ok("leave")
    for number in range(3):
        guest.say(f"while you were away {number}")
    await everybody([owner, guest], lambda person: len(person.said), 15)
    owner.invite(other.jid, "Come back!")
    guest.invite(friend.jid, "Do come back!")
    for person in (other, friend):
        assert await soon(person.invitations.get(), f"{person.name} is invited") == room
    ok("invite")
    for person in (other, friend):
        person.said.clear()
        await person.enter(room, person.name.title())
    await everybody(people, lambda person: person.said, owner.said)
    for person in (other, friend):
        assert person.before == {name for _, _, name in person.said}, person.before
    ok("history")
    assert await soon(guest.archive(), "the archive of the room") == owner.said
    ok("archive")


async def twins(people, room):
    """Second devices of one account are the same person in the room."""
    owner, friend, guest, _ = people
    for person in people:
        person.gone.clear()
    for person in (owner, guest, friend):
        twin = type(person)(person.name, person.server)
        await twin.login("tls")
        await twin.enter(room, person.nick)
        assert set(twin.occupants()) == {person.nick for person in people}, twin.occupants()
        before = len(owner.said)
        twin.say(f"{person.name}'s other device")
        person.say(f"{person.name}'s first device")
        await everybody(people, lambda person: len(person.said), before + 2)
        await everybody([*people, twin], lambda person: person.said[-2:], owner.said[-2:])
        assert {nick for nick, _, _ in owner.said[-2:]} == {person.nick}, owner.said[-2:]
        await twin.leave()
        person.say(f"{person.name} is still there")
        await everybody(people, lambda person: len(person.said), before + 3)
        await twin.logout()
    nicks = {person.nick for person in people}
    await everybody(people, lambda person: set(person.occupants()), nicks)
    assert not any(person.gone for person in people), [person.gone for person in people]
    ok("devices")


async def govern(people, room):
    """What is said is taken back, somebody is banned, invited while away, and the room ends."""
    owner, friend, guest, other = people
    slow = [owner, guest, other]  # those whose library knows this
    for speaker, take_back in (
        (guest, lambda name: guest.take_back(name)),
        (other, lambda name: asyncio.ensure_future(owner.moderate(name, "Not here."))),
    ):
        before = len(owner.said)
        speaker.say("It should not have been said.")
        await everybody(people, lambda person: len(person.said), before + 1)
        name = owner.said[-1][2]
        by = speaker if speaker is guest else owner
        take_back(name)
        await everybody(slow, lambda person: person.taken_back[-1:], [(name, f"{room}/{by.nick}")])
        # Who was not there does not see it.
        assert name not in {name for _, _, name in await soon(guest.archive(), "the archive")}
        ok("take-back" if speaker is guest else "moderate")

    nick = other.nick
    await owner.affiliate(other.jid, "outcast")
    assert 301 in await soon(other.out.get(), "the ban")
    await everybody([owner, friend, guest], lambda person: 301 in person.gone.get(nick, ()), True)
    try:
        await other.enter(room, nick)
    except PresenceError as error:
        assert error.condition == "forbidden", error
    else:
        raise AssertionError("who is banned came in")
    await owner.affiliate(other.jid, "none")
    await other.enter(room, nick)
    ok("ban")

    await friend.leave()
    await friend.logout()
    guest.invite(friend.jid, "Where are you?")
    await guest.archive()  # its answer says that the room had that
    await friend.login("tls")
    assert await soon(friend.invitations.get(), "what waited") == room
    await friend.enter(room, friend.name.title())
    ok("away")

    await soon(owner.muc.destroy(room, "It is late."), "the end of the room")
    for person in people:
        await soon(person.out.get(), f"{person.name} is told of the end")
    ok("destroy")


async def whole_story(people, room, *more):
    for person in people:
        await person.login("tls")
    await meet(people, room)
    await talk(people)
    await change(people, room)
    await part(people, room)
    await twins(people, room)
    for more_of_it in more:
        await more_of_it(people, room)
    for person in people:
        if not more:
            await person.leave()
        await person.logout()


async def in_ours(ours, theirs):
    people = [Slix("ana", ours), Aio("ben", ours), Slix("carl", theirs), Slix("dora", theirs)]
    await whole_story(people, f"garden@rooms.{ours.domain}", govern)


async def in_theirs(ours, theirs):
    people = [Slix("carl", theirs), Slix("dora", theirs), Slix("ana", ours), Aio("ben", ours)]
    await whole_story(people, f"garden@rooms.{theirs.domain}")


async def ghosts(ours, theirs):
    """The way is lost, and each server is killed, with people of both in a room of ours."""
    room = f"attic@rooms.{ours.domain}"
    ana, ben = Slix("ana", ours), Aio("ben", ours)
    carl, dora = Slix("carl", theirs), Aio("dora", theirs)
    dora.asks_after = 1
    people = [ana, ben, carl, dora]
    for person in people:
        await person.login("tls")
    await ana.open(room, "Ana")
    for person in people[1:]:
        await person.enter(room, person.name.title())
    nicks = {"Ana", "Ben", "Carl", "Dora"}
    await everybody(people, lambda person: set(person.occupants()), nicks)
    ok("enter")

    await please("cut the way to them")
    ana.say("Is anybody there?")
    await vanish(ana, ben)
    await please("mend the way to them")
    # She asks whether she is still there, and comes back by herself (XEP-0410).
    await everybody([ana, ben], lambda person: set(person.occupants()), {"Ana", "Ben", "Dora"})
    await refused(carl)
    await carl.enter(room, "Carl")
    await everybody(people, lambda person: set(person.occupants()), nicks)
    ok("way-lost")

    await please("kill theirs")
    ana.say("And now?")
    await vanish(ana, ben)
    ok("theirs-killed")

    await please("start theirs")
    carl = people[2] = Slix("carl", theirs)
    await carl.login("tls")
    await carl.enter(room, "Carl")
    # She connects and enters by herself.
    await everybody(people, lambda person: set(person.occupants()), nicks)
    ok("theirs-back")

    for person in (ana, ben):
        person.will_break()
    await please("kill ours")
    await please("start ours")
    await asyncio.gather(ana.resume(), ben.resume())
    for person in (ana, ben):
        assert 332 in await soon(person.out.get(), f"{person.name} is told"), person.name
    await refused(carl)
    await carl.enter(room, "Carl")
    assert set(carl.occupants()) <= {"Carl", "Dora"}, carl.occupants()
    ok("ours-killed")

    for person in (ana, ben):
        await person.enter(room, person.name.title())
    await everybody(people, lambda person: set(person.occupants()), nicks)
    for person in people:
        person.said.clear()
    for person in people:
        person.say(f"{person.name} is back")
    await everybody(people, lambda person: len(person.said), 4)
    await everybody(people, lambda person: person.said, ana.said)
    for person in people:
        await person.logout()
    ok("nobody-twice")


async def vanish(*left):
    """Who cannot be reached is gone for those who are left."""
    await everybody(left, lambda person: set(person.occupants()), {"Ana", "Ben"})
    for person in left:
        codes = [person.gone.pop(nick) for nick in ("Carl", "Dora")]
        assert all(333 in each for each in codes), codes


async def refused(carl):
    """He did not notice that he is out, and is told when he speaks."""
    carl.say("Still there?")
    assert await soon(carl.refusals.get(), "a refusal") == "not-acceptable"


if __name__ == "__main__":
    run({"ours": in_ours, "theirs": in_theirs, "ghosts": ghosts})
