"""The command line without Ray."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import resource
import socket
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

import raytuner
from raytuner.cli import QUICKSTART, cli, main
from raytuner.config import TuneConfig
from raytuner.errors import ClusterError, ConfigError
from raytuner.head import SETTINGS
from raytuner.jobs.cluster import server_of
from raytuner.plan import make_plan
from raytuner.search import ALGORITHMS

ROOT = Path(__file__).resolve().parent.parent


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "raytuner", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A small folder of documents, questions and a config with relative paths."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "one.md").write_text("# Owls\n\nOwls hunt at night. Their feathers are silent.\n")
    (tmp_path / "docs" / "two.txt").write_text("Bees live in hives and make honey from nectar.\n")
    rows = [{"question": "When do owls hunt?", "answer": "At night.", "document": "one.md"}]
    rows.append({"question": "What do bees make?", "answer": "Honey.", "document": "two.txt"})
    (tmp_path / "questions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    path = tmp_path / "owls.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "documents": "docs",
                "questions": "questions.jsonl",
                "pipeline": {"retriever": "bm25"},
                "space": {"chunk_size": [16, 32], "top_k": [1, 2]},
            }
        )
    )
    return path


def best_of(runs: int, *command: str) -> float:
    """Seconds of the processor, which other work on the machine does not change."""

    def used() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return children.ru_utime + children.ru_stime

    def seconds() -> float:
        before = used()
        subprocess.run([sys.executable, *command], capture_output=True, check=True, timeout=60)
        return used() - before

    return min(seconds() for _ in range(runs))


def test_help_and_import_are_fast() -> None:
    assert best_of(3, "-m", "raytuner", "--help") < 0.5
    assert best_of(3, "-c", "import raytuner") < 0.5


def test_version_names_what_matters() -> None:
    text = run("--version").stdout
    assert f"raytuner {raytuner.__version__} (Ray 2." in text
    assert "LlamaIndex 0." in text
    assert f"Python {sys.version.split()[0]}" in text


@pytest.mark.usefixtures("empty_cache")
def test_plan_shows_what_is_used_again_and_why_not(config: Path) -> None:
    lines = invoke("plan", str(config), "--keys").output.splitlines()
    start = lines.index("keys        of the default configuration")
    end = lines.index("keys        of all configurations, on disk")
    shown = [line.split(maxsplit=2) for line in lines[start + 1 : end]]
    assert [(stage, len(key), said) for stage, key, said in shown] == [
        ("sentence", 32, "not there, and none of this stage is"),
        ("bm25_index", 32, "not there, and none of this stage is"),
        ("bm25_search", 32, "not there, and none of this stage is for these questions"),
    ]
    summary = [line.split(maxsplit=1) for line in lines[end + 1 :]]
    assert [(stage, share.partition(" ")[0]) for stage, share in summary] == [
        ("sentence", "0"),
        ("bm25_index", "0"),
        ("bm25_search", "0"),
    ]


@pytest.mark.usefixtures("empty_cache")
def test_plan_counts_what_is_there_of_the_questions(tmp_path: Path) -> None:
    settings = ["--set", "objective.metric=semantic_similarity", "--set", "pipeline.retriever=vector"]
    settings += ["--set", "search.holdout=none"]
    config = tmp_path / "answered.yaml"
    config.write_text(
        "documents: builtin:quickstart\nquestions: builtin:quickstart\nspace: {top_k: [1, 2]}\n"
        "pipeline: {embedding: wordllama, llm: mock}\n",
        encoding="utf-8",
    )
    text = invoke("plan", str(config), "--keys", *settings).output
    assert " chunks, 60 questions, 60 right answers, about 120 answers to embed, " in text
    assert "  LLM: at most 120 answers to ask for; of 120 it is not known whether they are there or shared\n" in text
    assert "  known once their texts are retrieved\n" in text
    assert "generate        at most 120 whose texts are not looked up\n" in text
    objective = make_plan(TuneConfig.load(config, settings[1::2])).objective
    assert isinstance(objective, raytuner.RagObjective)
    objective({"top_k": 1})
    text = invoke("plan", str(config), "--keys", *settings).output
    assert "  60 of 60 questions on disk\n" in text
    assert "  LLM: 60 of 120 answers to ask for\n" in text
    assert "generate        60 of 120\n" in text
    text = invoke("plan", str(config), "--keys", *settings, "--set", "pipeline.response_mode=refine").output
    assert "differs from the nearest by response_mode 'refine' instead of 'compact'\n" in text
    objective({"top_k": 2})
    text = invoke("plan", str(config), *settings).output
    assert "  wordllama: nothing, all is on disk\n" in text
    assert "  LLM: 0 of 120 answers to ask for\n" in text
    own = invoke("plan", str(config), "--keys", *settings, "--set", "pipeline.splitter=no_such.module.Splitter").output
    assert "keys        of the default configuration are not known: the splitter is not imported" in own


def test_plan_says_what_would_run(config: Path) -> None:
    text = invoke("plan", str(config)).output
    assert "chunk_size: 16, 32" in text
    assert "4 configurations" in text
    assert "grid, 4 trials" in text
    assert "all of them can be tried" in text
    assert "default     chunk_size=16, top_k=1" in text
    assert "objective   ndcg, max" in text
    assert "models      none" in text
    assert "missing     nothing" in text


def test_plan_needs_neither_ray_nor_llamaindex(config: Path) -> None:
    code = (
        "import sys\nfrom raytuner.cli import cli\n"
        f"cli.main(['plan', {str(config)!r}], standalone_mode=False)\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'ray', 'llama_index', 'optuna', 'hyperopt'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_plan_names_what_is_missing(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYTUNER_CACHE", str(tmp_path / "empty"))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    text = invoke("plan", str(config), "--set", "pipeline.retriever=vector").output
    assert "missing     minilm" in text
    assert "raytuner models pull minilm" in text
    answered = ["--set", "objective.metric=token_f1", "--set", "pipeline.llm=openai:gpt-x"]
    assert "OPENAI_API_KEY" in invoke("plan", str(config), *answered).output


def test_large_spaces_are_searched_by_a_model(config: Path) -> None:
    text = invoke("plan", str(config), "--set", "space.bm25_b={float: [0, 1]}").output
    assert "auto, 30 trials" in text
    assert "endless" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plan", "nowhere.yaml"], "nowhere.yaml: No such file"),
        (["tune", "nowhere.yaml"], "nowhere.yaml: No such file"),
        (["show", "nothing"], "nothing: no such run"),
        (["models", "pull", "minlm"], "did you mean 'minilm'"),
        (["tun"], "No such command 'tun'; did you mean 'tune'?"),
        (["models", "pul"], "No such command 'pul'; did you mean 'pull'?"),
        (["completion", "tcsh"], "'bash', 'zsh', 'fish'"),
        (["schema", "--out", "no/such/folder.json"], "no/such/folder.json: No such file or directory"),
        (["tune"], "Missing argument"),
        (["plan", "CONFIG", "--set", "space.chunk_sise=[1]"], "did you mean 'chunk_size'"),
        (["plan", "CONFIG", "--set", "search.trails=3"], "did you mean 'trials'"),
        (["plan", "CONFIG", "--set", "pipeline.top_k=3"], "both in pipeline and in space"),
        (["plan", "CONFIG", "--set", "nonsense"], "KEY=VALUE"),
        (["plan", "CONFIG", "--search", "optun"], "did you mean 'optuna'"),
        (["plan", "CONFIG", "--trials", "0"], "--trials"),
        (["plan", "CONFIG", "--set", "objective.metric=span_f1"], "span_f1 needs reference spans"),
        (["plan", "CONFIG", "--set", "objective.metric=ndgc"], "did you mean 'ndcg'"),
        (["plan", "CONFIG", "--set", "documents=nowhere"], "nowhere"),
        (["plan", "CONFIG", "--set", "pipeline.chunk_overlap=400"], "no configuration of the space is valid"),
        (["plan", "CONFIG", "--set", "search.holdout=some"], "search.holdout"),
        (["plan", "CONFIG", "--search", "null"], "unknown search algorithm 'null'"),
        (["plan", ""], "'' cannot be a path"),
        (["plan", "x" * 5000], "xxx' cannot be a path"),
        (["plan", "~nobody-here/x.yaml"], "'~nobody-here/x.yaml' cannot be a path"),
        (["show", "x" * 5000], "xxx' cannot be a path"),
        (["show", "x/" * 3000], "cannot be a path"),
        (["init", "a\nb"], "'a\\nb' cannot be a path"),
        (
            ["plan", "CONFIG", "--set", "pipeline.embedding=minlm", "--set", "pipeline.retriever=vector"],
            "did you mean 'minilm'",
        ),
    ],
)
def test_mistakes_end_with_one_line_and_exit_code_2(config: Path, arguments: list[str], message: str) -> None:
    done = run(*(str(config) if argument == "CONFIG" else argument for argument in arguments))
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_the_config_file_is_named_in_its_errors(config: Path) -> None:
    config.write_text("documents: docs\nquestions: questions.jsonl\nserach: {}\n")
    done = run("plan", str(config))
    assert done.stderr.startswith(f"error: {config}: unknown key 'serach'; did you mean 'search'?")


def test_quickstart_is_the_public_config() -> None:
    assert QUICKSTART.read_text() == (ROOT / "configs" / "quickstart.yaml").read_text()


def test_algorithms_and_models_are_listed() -> None:
    listed = invoke("algorithms").output
    assert [line.split()[0] for line in listed.splitlines() if line and line[0] != " "][:-1] == list(ALGORITHMS)
    assert "options: sampler, n_startup_trials" in listed
    assert {"minilm", "wordllama", "mock"} <= {line.split()[0] for line in invoke("models", "list").output.splitlines()}


@pytest.mark.parametrize(
    ("problem", "said"), [(None, "installed, in an environment of its own"), ("is not there", "is not there")]
)
def test_the_list_says_what_is_in_an_environment_of_its_own(
    problem: str | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = replace(ALGORITHMS["sigopt"], problem_elsewhere=lambda: problem)
    monkeypatch.setitem(ALGORITHMS, "sigopt", found)
    listed = invoke("algorithms").output.partition("\nsigopt")[2].partition("\ndragonfly")[0]
    assert listed.splitlines()[-1].strip() == said


def test_an_unexpected_error_is_one_line_too(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "sk-0123456789")
    monkeypatch.setattr("raytuner.plan.make_plan", lambda *_, **__: 1 / 0)
    monkeypatch.setattr(sys, "argv", ["raytuner", "plan", str(config)])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == 1
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SOME_API_KEY", "sk-0123456789")
    monkeypatch.setattr(sys, "argv", ["raytuner", "plan", "sk-0123456789.yaml"])
    with pytest.raises(SystemExit):
        main()
    assert "sk-0123456789" not in capsys.readouterr().err


def test_convert(config: Path, tmp_path: Path) -> None:
    source, target = str(tmp_path / "questions.jsonl"), str(tmp_path / "questions.csv")
    done = invoke("convert", source, target)
    assert (done.exit_code, done.stdout) == (0, f"{target}: 2 questions\n")
    again = run("convert", source, target)
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr == f"error: {target}: the file exists; name another, or replace it with --force\n"
    assert run("convert", source, target, "--force", "--to", "jsonl").returncode == 0
    assert len((tmp_path / "questions.csv").read_text().splitlines()) == 2
    rag = invoke("convert", source, str(tmp_path / "rag.json"), "--documents", str(tmp_path / "docs"))
    assert rag.exit_code == 0
    assert "Owls hunt at night." in (tmp_path / "rag.json").read_text()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "the file is empty"),
        ('{"question": "A?"}\n{"question"\n', "line 2: malformed JSON"),
        ('{"version": "1.1", "data": [{"title": "x"}]}', "data[0].paragraphs: must be a list, not absent"),
        ("PAR1 and nothing more", "malformed Parquet"),
        ("title;text\na;b\n", "in no known form: no column 'question'; there are: title, text"),
        ('{"question": "A?", "document": "none.md"}', "'none.md', which is none of the documents"),
        ('{"id": 1, "question": "A?"}\n{"id": 1, "question": "B?"}', "question id '1' is taken, see line 1"),
        ('{"question": "A?", "document": "one.md", "start_index": 2, "end_index": 999}', "1 of 1 reference spans"),
        ('{"question": "A?"}', "needs reference answers, which 1 of 1 questions lack"),
        ('{"question": "A?", "answerable": "maybe"}', "'answerable' must be true or false, not 'maybe'"),
    ],
)
def test_bad_question_sets_end_with_one_line_and_code_2(
    config: Path, tmp_path: Path, content: str, words: str, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    (tmp_path / "questions.jsonl").write_text(content)
    monkeypatch.setattr(sys, "argv", ["raytuner", "plan", str(config)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert words in line


def test_without_a_command_it_says_what_to_do_first() -> None:
    done = run()
    assert done.returncode == 0
    assert "raytuner quickstart" in done.stdout.splitlines()[0]
    assert "raytuner init my-docs --questions questions.jsonl" in done.stdout.splitlines()[1]
    assert len(done.stdout.splitlines()) < 10
    listed = run("--help").stdout.partition("Commands:")[2].split()
    assert listed.index("quickstart") < listed.index("init") < listed.index("tune")


def test_the_schema_is_printed_or_written(tmp_path: Path) -> None:
    printed = run("schema").stdout
    assert json.loads(printed)["properties"]["documents"]
    assert invoke("schema", "--out", str(tmp_path / "s.json")).output == ""
    assert (tmp_path / "s.json").read_text() == printed


# Completion


def completed(*words: str, folder: Path) -> list[str]:
    """What the shell is given to complete the last word."""
    environment = {"COMP_WORDS": " ".join(("raytuner", *words)), "COMP_CWORD": str(len(words))}
    done = subprocess.run(
        [Path(sys.executable).parent / "raytuner"],
        env={**os.environ, **environment, "_RAYTUNER_COMPLETE": "bash_complete"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.splitlines()


def test_the_shell_completes_commands_algorithms_and_configs(config: Path) -> None:
    folder = config.parent
    assert completed("mod", folder=folder) == ["plain,models"]
    assert completed("tune", "owls.yaml", "--search", "o", folder=folder) == ["plain,optuna"]
    assert completed("plan", "", folder=folder) == ["plain,owls.yaml"]
    assert completed("tune", "docs/", folder=folder) == ["file,docs/"]


IN_BASH = """
source <(raytuner completion bash)
COMP_WORDS=(raytuner {words}) COMP_CWORD={last}
[[ $(complete -p raytuner) =~ " -F "([^ ]+) ]] && "${{BASH_REMATCH[1]}}" raytuner
printf "%s\\n" "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("sh", ["show"]),
        ("tune --se", ["--search", "--seed", "--set"]),
        ("tune owls.yaml --search ra", ["random"]),
        ("plan ow", ["owls.yaml"]),
        ("models p", ["pull"]),
    ],
)
def test_a_real_bash_completes(config: Path, words: str, offered: list[str]) -> None:
    done = subprocess.run(
        ["bash", "--norc", "-e", "-c", IN_BASH.format(words=words, last=len(words.split()))],
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
        cwd=config.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_ask_raytuner(shell: str) -> None:
    assert f"_RAYTUNER_COMPLETE={shell}_complete" in invoke("completion", shell).output
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=invoke("completion", shell).output, text=True, check=True, timeout=10)


# Colours


def in_a_terminal(*arguments: str, **environment: str) -> str:
    """What a command writes to a terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "raytuner", *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color", **environment},
    )
    os.close(theirs)
    written = b""
    while chunk := read(ours):
        written += chunk
    os.close(ours)
    assert process.wait(timeout=60) in (0, 2)
    return written.decode()


def read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # Linux's way to say that the other end is closed
        return b""


@pytest.mark.parametrize("arguments", [[], ["--help"], ["tun"], ["plan", "CONFIG"], ["algorithms"], ["models", "list"]])
def test_no_color_means_no_escape_sequences(config: Path, arguments: list[str]) -> None:
    words = [str(config) if word == "CONFIG" else word for word in arguments]
    text = in_a_terminal(*words, NO_COLOR="1")
    assert text.strip()
    assert "\x1b" not in text


def test_plan_shows_how_far_the_documents_are_read_on_a_terminal_only(config: Path) -> None:
    assert "documents: " in in_a_terminal("plan", str(config), NO_COLOR="")
    assert "documents: " not in in_a_terminal("plan", str(config), NO_COLOR="1")
    piped = subprocess.run(
        [sys.executable, "-m", "raytuner", "plan", str(config)], capture_output=True, text=True, check=True, timeout=60
    )
    assert "documents: " not in piped.stdout + piped.stderr


def test_an_address_replaces_that_of_the_config(config: Path) -> None:
    result = invoke("tune", str(config), "--set", "run.address=auto", "--address", "head")
    assert isinstance(result.exception, ConfigError)
    assert "run.address: 'head' is not allowed; it should be auto or HOST:PORT" in str(result.exception)


@contextlib.contextmanager
def head_of_ray() -> Iterator[str]:
    """The address of a server that greets as Ray's do."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    connection.sendall(SETTINGS)
                    connection.close()

        threading.Thread(target=greet, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_an_address_of_ray_client_is_that_of_a_cluster_that_is_given_a_job(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:9")
    result = invoke("tune", str(config), "--address", "ray://127.0.0.1:9")
    assert isinstance(result.exception, ConfigError)
    assert "address 'ray://127.0.0.1:9': nobody answers there" in str(result.exception)
    with head_of_ray() as address:
        result = invoke("tune", str(config), "--address", f"ray://{address}")
    assert isinstance(result.exception, ClusterError)
    assert str(result.exception).startswith("http://127.0.0.1:9: no job server answers there")
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS")
    assert server_of("ray://head:10001") == "http://head:8265"
    assert server_of("ray://[::1]:10001") == "http://[::1]:8265"
