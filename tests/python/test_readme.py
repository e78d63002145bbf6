"""Runs the examples of README.md, of docs/ and of the docstrings, as a reader would. Leaves examples/ to its own tests.

1. A page is cut into sections at its headings of level 1 and 2. The ```python blocks of a section run in order, as one
   program, in a process and an empty folder of its own, with warnings as errors.
2. `<!-- file: name -->` before a block of any language puts that block into the folder under that name first.
3. `<!-- not run: reason -->` before a ```python block leaves it out. Without a reason the page is refused.
4. A line number in a traceback is a line number of the page.
5. Docstring examples are doctests; each module runs in a process and an empty folder of its own.
"""

from __future__ import annotations

import os
import pkgutil
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pytest

import ldclient

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
DEADLINE = 50.0  # seconds for one section or module, below the limit of one test

FENCE = re.compile(r"^(?P<indent> *)(?P<fence>```+|~~~+) *(?P<language>[\w+-]*)")
REMARK = re.compile(r"^ *<!-- *(?P<what>not run|file)(?:: *(?P<text>.*?))? *-->$")


@dataclass
class Section:
    """The program of one section: its lines stand where they stand in the page."""

    title: str
    program: dict[int, str] = field(default_factory=dict)  # line number from 1 -> line
    files: dict[str, str] = field(default_factory=dict)

    @property
    def code(self) -> str:
        return "".join(self.program.get(at, "") + "\n" for at in range(1, max(self.program, default=0) + 1))


class PageError(ValueError):
    """A page that breaks the rules above; says where."""


def sections(text: str) -> list[Section]:
    """The sections of a page that have something to run."""
    found = [Section("start")]
    remark: tuple[str, str] | None = None
    lines = iter(enumerate(text.splitlines(), 1))
    for number, line in lines:
        if heading := re.match(r"^##? +(.*)", line):
            found.append(Section(heading[1].strip()))
        elif noted := REMARK.match(line):
            remark = (noted["what"], noted["text"] or "")
            if not remark[1]:
                raise PageError(f"line {number}: `<!-- {remark[0]} -->` does not say which or why")
            continue
        elif fence := FENCE.match(line):
            body: dict[int, str] = {}
            for inner, content in lines:
                if content.strip() == fence["fence"]:
                    break
                body[inner] = content.removeprefix(fence["indent"])
            else:
                raise PageError(f"line {number}: the block never ends")
            what, value = remark or ("", "")
            if what == "file":
                path = PurePosixPath(value)
                if path.is_absolute() or ".." in path.parts:
                    raise PageError(f"line {number}: {value} is outside the folder of the example")
                found[-1].files[value] = "".join(content + "\n" for content in body.values())
            elif fence["language"] in ("python", "py") and what != "not run":
                found[-1].program |= body
        if line.strip():
            remark = None
    return [section for section in found if section.program]


def run(section: Section, page: str, folder: Path) -> subprocess.CompletedProcess[str]:
    for name, content in section.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    script = folder / f".{page}"
    script.write_text(section.code, encoding="utf-8")
    # The examples import what a reader would: the folder of the script itself adds nothing but their own files.
    return subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def environment() -> dict[str, str]:
    """No setting of the person who runs the tests reaches an example."""
    private = ("LD_", "LAUNCHDARKLY_", "PYTHON")
    return {name: value for name, value in os.environ.items() if not name.startswith(private)}


def examples() -> list[object]:
    return [
        pytest.param(page, section, id=f"{page.name}: {section.title}")
        for page in PAGES
        if page.exists()
        for section in sections(page.read_text(encoding="utf-8"))
    ]


def test_the_readme_has_examples_to_run() -> None:
    assert sections((ROOT / "README.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("page", "section"), examples())
def test_the_examples_of_a_section_run_as_one_program(page: Path, section: Section, tmp_path: Path) -> None:
    ran = run(section, page.name, tmp_path)
    assert ran.returncode == 0, f"{page.name}, section {section.title!r}:\n{ran.stdout}\n{ran.stderr}"


# Exits 3 with the module's name when the module is for users of something that is not installed.
DOCTESTS = """
import doctest, importlib, sys
try:
    if sys.argv[1].startswith("ldclient.django"):
        import django.conf
        apps = ["django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes", "ldclient.django"]
        django.conf.settings.configure(INSTALLED_APPS=apps, LDCLIENT={"OFFLINE": True})
        django.setup()
    module = importlib.import_module(sys.argv[1])
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] == "ldclient":
        raise
    print(error.name)
    sys.exit(3)
finder, runner = doctest.DocTestFinder(exclude_empty=True), doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
# A class of the native module belongs to the public module that its __module__ names.
for test in finder.find(module, module.__name__):
    runner.run(test)
print(runner.tries, "examples")
sys.exit(1 if runner.failures else 0)
"""


def doctests(module: str, folder: Path, *path: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", DOCTESTS, module],
        cwd=folder,
        env={**environment(), "PYTHONPATH": os.pathsep.join(path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


@pytest.mark.parametrize(
    "module", ["ldclient", *(found.name for found in pkgutil.walk_packages(ldclient.__path__, "ldclient."))]
)
def test_the_examples_in_docstrings_hold(module: str, tmp_path: Path) -> None:
    if module.endswith(".__main__"):
        return  # importing it is running it; it has no caller to show examples to
    ran = doctests(module, tmp_path)
    if ran.returncode == 3:
        pytest.skip(f"{module} is for users of {ran.stdout.strip()}, which is not installed")
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"


# ------------------------------------------------------------------------------------------------ the rules themselves


def one(text: str) -> Section:
    (section,) = sections(text)
    return section


def test_the_blocks_of_a_section_share_names_and_keep_their_line_numbers(tmp_path: Path) -> None:
    section = one("# A\n```python\na = 1\n```\ntext\n```python\nassert a == 2\n```\n")
    ran = run(section, "page.md", tmp_path)
    assert ran.returncode == 1
    assert 'page.md", line 7' in ran.stderr


def test_sections_share_nothing_and_other_languages_are_not_run(tmp_path: Path) -> None:
    first, second = sections("# A\n```python\na = 1\n```\n```console\n$ exit 1\n```\n## B\n```python\na\n```\n")
    assert run(first, "page.md", tmp_path).returncode == 0
    assert "NameError" in run(second, "page.md", tmp_path).stderr


def test_a_block_that_is_not_to_be_run_says_why() -> None:
    assert sections("<!-- not run: needs an account -->\n```python\n1 / 0\n```\n") == []
    with pytest.raises(PageError, match="line 1"):
        sections("<!-- not run: -->\n```python\n1 / 0\n```\n")


def test_a_remark_holds_for_the_block_right_after_it_only() -> None:
    assert one("<!-- not run: a reason -->\ntext\n```python\n1 / 0\n```\n").code.endswith("1 / 0\n")


def test_a_named_block_is_a_file_of_the_example(tmp_path: Path) -> None:
    named = "<!-- file: flags.json -->\n```json\n{}\n```\n"
    section = one(named + '```python\nassert open("flags.json").read() == "{}\\n"\n```\n')
    # The warning about the file that is never closed shows that warnings are errors.
    ran = run(section, "page.md", tmp_path)
    assert "ResourceWarning" in ran.stderr
    assert "AssertionError" not in ran.stderr
    with pytest.raises(PageError, match="outside"):
        sections("<!-- file: ../flags.json -->\n```json\n{}\n```\n")


def test_a_block_that_never_ends_is_refused() -> None:
    with pytest.raises(PageError, match="never ends"):
        sections("```python\n1\n")


def test_a_wrong_docstring_example_is_found(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text('"""Adds.\n\n>>> 1 + 1\n3\n"""\n', encoding="utf-8")
    (tmp_path / "right.py").write_text('"""Adds.\n\n>>> 1 + 1\n2\n"""\n', encoding="utf-8")
    assert doctests("wrong", tmp_path, str(tmp_path)).returncode == 1
    right = doctests("right", tmp_path, str(tmp_path))
    assert (right.returncode, right.stdout) == (0, "1 examples\n")
