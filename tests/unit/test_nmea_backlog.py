"""Sentences that waited are told from a receiver whose clock was set, and from one that is always late."""

import pytest

from edge.sources.nmea_backlog import LIMIT, SETTLED, Backlog, time_of_day


def gga(seconds: float) -> bytes:
    seconds %= 86_400
    return b"$GPGGA,%02d%02d%05.2f,2217.4,S,06854.2,W,1,08,1.0,2870,M,,M,,*00\r\n" % (seconds // 3600, seconds // 60 % 60, seconds % 60)


@pytest.mark.parametrize("start", [0.0, 43_000.0, 86_395.0])  # over midnight, too
@pytest.mark.parametrize("delay", [0.05, 2.5, 40_000.0])  # a receiver that is off by hours is no backlog
def test_a_steady_delay_is_none(start: float, delay: float) -> None:
    backlog = Backlog()
    assert not any(backlog.late(gga(start + second), second + delay) for second in range(60))


def test_what_queued_while_the_way_hung_is_late_and_what_follows_is_not() -> None:
    backlog = Backlog()
    assert not any(backlog.late(gga(second), second + 0.1) for second in range(20))
    queued = [backlog.late(gga(second), 50.0 + second / 1000) for second in range(20, 50)]
    waited = [50.0 - second for second in range(20, 50)]
    assert queued == [wait - 0.1 + second / 1000 > LIMIT for wait, second in zip(waited, range(20, 50), strict=True)]
    assert sum(map(bool, queued)) > 25
    assert not any(backlog.late(gga(second), second + 0.1) for second in range(51, 80))


def test_a_receiver_whose_clock_was_set_back_is_believed_again() -> None:
    backlog = Backlog()
    assert not any(backlog.late(gga(1000 + second), second) for second in range(20))
    found = [backlog.late(gga(700 + second), float(second)) for second in range(20, 60)]
    assert found[0] is True
    assert not any(found[int(SETTLED) + 2 :])


def test_a_sentence_without_a_time_tells_nothing() -> None:
    assert Backlog().late(b"$GPVTG,054.7,T,034.4,M,005.5,N,010.2,K*48", 1.0) is None
    for line in (b"$GPGGA,,,,,,0,,,,,,,,*66", b"$GPRMC,1x2030,V,,,,,,,,,,N*53", b"", b"$GPGGA,12", b"$GPGGA,1230\xb25,"):
        assert time_of_day(line) is None
