"""A checkpoint comes back as it was stored; anything else is one clear line, and runs no code."""

import copy
import errno
import multiprocessing
import pickle
import zipfile
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

from seq2seq.checkpoint import FORMAT, KEY, AlignmentChoice, Checkpoint, pack, read_checkpoint
from seq2seq.checkpoint_writing import write_model
from seq2seq.errors import UserError

CONFIG = {"seed": 3, "model": {"d_model": 7, "dropout": 0.1, "tie": False}, "decoder": {"rnn": None, "sizes": [2, 3]}}


class Creates:
    """Unpickled by Python's own unpickler, creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def lightning_content(alignment: AlignmentChoice | None = None) -> dict[str, Any]:
    """Return what a run stores, as far as reading goes."""
    return {
        "state_dict": {"model.output.weight": torch.arange(6.0).view(2, 3), "metric.total": torch.ones(1)},
        "optimizer_states": [{"state": {0: {"step": torch.tensor(5.0)}}}],
        KEY: pack(copy.deepcopy(CONFIG), [b"source\x00", b"target\xff"], alignment),
    }


def message(path: Path) -> str:
    """Return the one line that reading a file fails with."""
    with pytest.raises(UserError) as error:
        read_checkpoint(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    "alignment",
    [None, AlignmentChoice("decoder.attention", None), AlignmentChoice("layer", 3, row="input", quantity="norms")],
)
@pytest.mark.parametrize("as_text", [True, False])
def test_checkpoint_comes_back_as_it_was_stored(
    tmp_path: Path, alignment: AlignmentChoice | None, as_text: bool
) -> None:
    path = tmp_path / "best.ckpt"
    torch.save(lightning_content(alignment), path)
    found = read_checkpoint(str(path) if as_text else path)
    assert found._replace(weights={}) == Checkpoint(CONFIG, [b"source\x00", b"target\xff"], alignment, {}, str(path))
    assert found.alignment is None or isinstance(found.alignment, AlignmentChoice)
    assert list(found.weights) == ["output.weight"]
    torch.testing.assert_close(found.weights["output.weight"], torch.arange(6.0).view(2, 3))


def test_checkpoint_from_before_there_were_readings_is_read_as_it_was(tmp_path: Path) -> None:
    content = lightning_content()
    content[KEY]["alignment"] = ["decoder.attention", 2]
    torch.save(content, tmp_path / "best.ckpt")
    found = read_checkpoint(tmp_path / "best.ckpt").alignment
    assert found is not None and (found.head, str(found.reading)) == (2, "output_weights")


def test_what_is_packed_is_plain_data_for_any_loader(tmp_path: Path) -> None:
    path = tmp_path / "best.ckpt"
    packed = pack(CONFIG, [b"joint"], AlignmentChoice("decoder.attention", 2))
    torch.save(packed, path)
    assert torch.load(path, weights_only=True) == {
        "format": FORMAT, "config": CONFIG, "tokenizers": [b"joint"],
        "alignment": ["decoder.attention", 2, "output", "weights"],
    }  # fmt: skip


@pytest.mark.parametrize(
    "content",
    [
        {"state_dict": {}, "epoch": 3},
        {"state_dict": {}, KEY: "not a mapping"},
        {KEY: pack(CONFIG, [], None)},
        {"model": torch.ones(2)},
        torch.ones(3),
        [1, 2],
    ],
)
def test_checkpoint_of_another_program_is_refused(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "other.ckpt"
    torch.save(content, path)
    assert "another program" in message(path)


def test_checkpoint_of_another_format_names_both_formats(tmp_path: Path) -> None:
    path = tmp_path / "newer.ckpt"
    content = lightning_content()
    content[KEY]["format"] = FORMAT + 41
    torch.save(content, path)
    assert f"format {FORMAT + 41}, this version reads {FORMAT}" in message(path)


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_truncated_checkpoint_is_refused(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "cut.ckpt"
    torch.save(lightning_content(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    assert "cut off" in message(path)


def test_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "damaged.ckpt"
    torch.save(lightning_content(), path)
    whole = path.read_bytes()
    # The table at the end is whole, what it points at is not.
    path.write_bytes(b"\x00" * (len(whole) // 2) + whole[len(whole) // 2 :])
    message(path)


def test_file_with_any_bytes_broken_is_refused_or_whole(tmp_path: Path) -> None:
    """A name that is no UTF-8, an archive on several disks, a pickle that ends early: each has an error of its own."""
    whole, path, random = tmp_path / "whole.ckpt", tmp_path / "broken.ckpt", Random(1)
    torch.save(lightning_content(), whole)
    content = whole.read_bytes()
    table = content.index(b"PK\x01\x02")  # of contents, which no checksum guards
    for _ in range(300):
        broken = bytearray(content)
        for _ in range(random.choice((1, 1, 3))):
            broken[random.randrange(table, len(broken))] = random.randrange(256)
        path.write_bytes(broken)
        with suppress(UserError):
            read_checkpoint(path)
    with zipfile.ZipFile(whole) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    for number in range(300):
        with zipfile.ZipFile(path, "w") as archive:  # whose checksums are right
            for name, file in files.items():
                broken = bytearray(file)
                if name.endswith("data.pkl"):
                    broken[random.randrange(len(broken))] = random.randrange(256)
                    broken = broken[: random.randrange(len(broken)) if number % 5 == 0 else None]
                archive.writestr(name, broken)
        with suppress(UserError):
            read_checkpoint(path)


def test_text_file_and_archive_of_something_else_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "config.yaml"
    text.write_text("seed: 1\n")
    assert "no checkpoint" in message(text)
    archive = tmp_path / "weights.npz"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("weights.npy", b"123")
    message(archive)


def test_file_that_may_not_be_read_is_not_said_to_be_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: Any, **__: Any) -> Any:  # as root may read all
        raise PermissionError(errno.EACCES, "Permission denied")

    torch.save(lightning_content(), tmp_path / "best.ckpt")
    monkeypatch.setattr(Path, "open", denied)
    assert "cannot be read as a checkpoint ([Errno 13] Permission denied)" in message(tmp_path / "best.ckpt")


def test_missing_file_says_where_checkpoints_are(tmp_path: Path) -> None:
    found = message(tmp_path / "none.ckpt")
    assert "there is no checkpoint" in found and "checkpoints/" in found


def test_missing_file_names_what_its_folder_has(tmp_path: Path) -> None:
    """A run without a validation has no best.ckpt, and one that keeps several has others."""
    (tmp_path / "last.ckpt").touch()
    assert message(tmp_path / "best.ckpt").endswith("; its folder has last.ckpt")
    for number in range(9):
        (tmp_path / f"best-step={number}.ckpt").touch()
    assert message(tmp_path / "best.ckpt").endswith(", best-step=4.ckpt, ...")


def test_empty_name_is_said_as_such() -> None:
    with pytest.raises(UserError, match="a checkpoint is given by an empty name"):
        read_checkpoint("")


def test_folder_says_to_give_a_file(tmp_path: Path) -> None:
    assert "is a folder" in message(tmp_path) and "<run folder>/checkpoints/best.ckpt" in message(tmp_path)
    best = tmp_path / "a run" / "2026-01-01" / "checkpoints" / "best.ckpt"
    best.parent.mkdir(parents=True)
    best.touch()
    assert message(tmp_path).endswith(f"such as {best}")


@pytest.mark.parametrize("where", ["beside", "config", "weights"])
def test_code_in_a_checkpoint_never_runs(tmp_path: Path, where: str) -> None:
    path, proof = tmp_path / "malicious.ckpt", tmp_path / "ran"
    content = lightning_content()
    target = {"beside": content, "config": content[KEY]["config"], "weights": content["state_dict"]}[where]
    target["hook"] = Creates(proof)
    torch.save(content, path)
    assert "more than plain data" in message(path)
    assert not proof.exists()
    # The proof is one: the same file, unpickled without care, does run it.
    torch.load(path, weights_only=False)
    assert proof.exists()


def test_bare_pickle_never_runs(tmp_path: Path) -> None:
    path, proof = tmp_path / "malicious.ckpt", tmp_path / "ran"
    path.write_bytes(pickle.dumps(Creates(proof)))
    message(path)
    assert not proof.exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, value: float) -> None:
    content = lightning_content()
    content["state_dict"]["model.output.weight"][1, 2] = value
    torch.save(content, tmp_path / "best.ckpt")
    assert "output.weight holds nan or inf, no number; use another" in message(tmp_path / "best.ckpt")


def test_several_files_where_one_is_expected_are_refused_as_such() -> None:
    assert "is a list, but one checkpoint is expected" in message(Path("[a.ckpt,b.ckpt]"))
    assert "several stand in brackets" in message(Path("a.ckpt,b.ckpt"))


@pytest.mark.parametrize("key", ["config", "tokenizers", "alignment"])
@pytest.mark.parametrize("value", [5, "text", [1, 2, 3]])
def test_checkpoint_with_something_else_in_a_place_is_refused(tmp_path: Path, key: str, value: Any) -> None:
    content = lightning_content()
    content[KEY][key] = value
    torch.save(content, tmp_path / "best.ckpt")
    assert "is not as `seq2seq train` writes it" in message(tmp_path / "best.ckpt")


def test_two_processes_that_write_at_one_place_leave_one_that_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, save = tmp_path / "average.ckpt", torch.save

    def write(number: float) -> None:
        weights = {"output.weight": torch.full((100, 100), number)}
        write_model(path, weights, config=CONFIG, tokenizers=[b"joint"], alignment=None)

    def meanwhile(content: Any, file: Any) -> None:
        file.write(b"half of it")
        file.flush()
        file.seek(0)
        monkeypatch.setattr(torch, "save", save)
        other = multiprocessing.get_context("fork").Process(target=write, args=(2.0,))
        other.start()
        other.join()
        assert other.exitcode == 0
        assert read_checkpoint(path).weights["output.weight"].unique().tolist() == [2.0]
        save(content, file)

    monkeypatch.setattr(torch, "save", meanwhile)
    write(1.0)
    assert read_checkpoint(path).weights["output.weight"].unique().tolist() == [1.0]
    assert list(tmp_path.iterdir()) == [path]
