"""Images are named by their content; bases follow from their recipes; no secret stays inside."""

from localcluster import bases, build_settings, images

DEB822 = "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\n"
SECURITY = "Types: deb\nURIs: http://mirror.example/debian-security\nSuites: bookworm-security\n"
ONE_LINE = (
    "# deb http://old.example/debian x main\ndeb [arch=amd64] http://m.example/debian/ b main\n"
)


def test_the_full_archive_is_the_mirror() -> None:
    assert bases.mirrors([SECURITY, DEB822]) == ["http://mirror.example/debian"]
    assert bases.mirrors([ONE_LINE]) == ["http://m.example/debian/"]
    assert bases.mirrors(["deb http://other.example/apt main\n"]) == []


def test_each_base_has_a_key_of_its_recipe() -> None:
    assert bases.key("base") != bases.key("base-torch")
    assert bases.key("base") == bases.key("base")


def test_an_images_tag_is_its_content() -> None:
    image = images.Image("lepton-worker", "sha256:" + "0123456789abcdef" * 4)
    assert image.reference == "registry.localcluster/lepton-worker:0123456789abcdef"


def test_pip_settings_that_hold_elsewhere_are_kept() -> None:
    lines = [
        "global.index-url='https://index.example/simple'",
        ":env:.cert='/etc/ssl/own.crt'",
        ":env:.find-links='/opt/wheels'",
        "global.timeout='60'",
    ]
    assert build_settings.render(lines).splitlines() == [
        "[global]",
        "index-url = https://index.example/simple",
        "timeout = 60",
        "cert = /run/secrets/ca",
    ]
