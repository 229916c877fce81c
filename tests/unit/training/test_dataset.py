"""Reading data sets: what counts as one, and which mistakes are told apart from data."""

import shutil
from pathlib import Path

import pytest

from tests.clips import cached_clip
from training.data.dataset import DatasetError, describe, read_dataset

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"


def put(*files):
    """A short real video at each path."""
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(cached_clip("short.mp4", seconds=0.4, size=(64, 48)), file)


def put_broken(*files):
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"no video at all")


def table(folder, *lines):
    file = folder / "some.csv"
    file.write_text("\n".join(lines) + "\n")
    return file


class TestAFolderPerClass:
    def test_labels_are_the_folders_names_sorted_and_all_is_train(self, tmp_path):
        put(tmp_path / "wave" / "b.mp4", tmp_path / "wave" / "a.MP4", tmp_path / "bow" / "c.mp4")
        dataset = read_dataset(tmp_path)
        assert dataset.labels == ("bow", "wave")
        facts = [(sample.path.name, sample.label, sample.split, sample.subject) for sample in dataset.samples]
        assert facts == [("c.mp4", 0, "train", ""), ("a.MP4", 1, "train", ""), ("b.mp4", 1, "train", "")]

    def test_train_and_val_on_top_are_splits(self, tmp_path):
        put(*(tmp_path / split / label / "x.mp4" for split in ("train", "val") for label in ("bow", "wave")))
        dataset = read_dataset(tmp_path)
        assert dataset.labels == ("bow", "wave")
        assert [len(dataset.split(split)) for split in ("train", "val")] == [2, 2]
        assert dataset.split("val").labels == dataset.labels
        with pytest.raises(DatasetError, match=r"no video is in the split 'test'.*train, val"):
            dataset.split("test")

    def test_a_split_by_another_name_is_not_passed_over(self, tmp_path):
        put(*(tmp_path / split / label / "x.mp4" for split in ("train", "validation") for label in ("bow", "wave")))
        with pytest.raises(DatasetError, match="holds validation beside train: splits are called train, val, test"):
            read_dataset(tmp_path)

    def test_files_that_are_no_videos_by_name_and_hidden_ones_are_passed_over(self, tmp_path):
        put(tmp_path / "bow" / "a.mp4", tmp_path / "wave" / "b.mp4")
        put_broken(tmp_path / "bow" / "notes.txt", tmp_path / "wave" / "._b.mp4", tmp_path / ".cache" / "c.mp4")
        dataset = read_dataset(tmp_path)
        assert (len(dataset), dataset.unreadable, dataset.num_classes) == (2, (), 2)

    def test_an_empty_class_folder_is_named(self, tmp_path):
        put(tmp_path / "bow" / "a.mp4", tmp_path / "wave" / "b.mp4")
        (tmp_path / "jump").mkdir()
        with pytest.raises(DatasetError, match=r"class folder .*jump holds no video .*fill or remove it"):
            read_dataset(tmp_path)

    def test_one_class_is_not_enough(self, tmp_path):
        put(tmp_path / "bow" / "a.mp4")
        with pytest.raises(DatasetError, match=r"holds 1 class \(bow\)"):
            read_dataset(tmp_path)

    def test_videos_without_class_folders_are_no_data_set(self, tmp_path):
        put(tmp_path / "a.mp4")
        with pytest.raises(DatasetError, match="holds no class folder"):
            read_dataset(tmp_path)

    def test_nothing_there_is_said(self, tmp_path):
        with pytest.raises(DatasetError, match="neither a folder nor a file"):
            read_dataset(tmp_path / "absent")

    @pytest.mark.parametrize(("split", "only"), [("val", "train only"), ("train", "val only")])
    def test_classes_of_train_and_val_must_be_the_same(self, tmp_path, split, only):
        put(*(tmp_path / part / label / "x.mp4" for part in ("train", "val") for label in ("bow", "wave")))
        shutil.rmtree(tmp_path / split / "wave")
        with pytest.raises(DatasetError, match=rf"classes of train and val differ: wave \({only}\)"):
            read_dataset(tmp_path)

    def test_a_val_folder_alone_is_nothing_to_learn_from(self, tmp_path):
        put(tmp_path / "val" / "bow" / "a.mp4", tmp_path / "val" / "wave" / "b.mp4")
        with pytest.raises(DatasetError, match="some to learn from"):
            read_dataset(tmp_path)


class TestACsv:
    def test_paths_are_relative_to_it_and_its_columns_are_kept(self, tmp_path):
        put(tmp_path / "v" / "a.mp4", tmp_path / "v" / "b.mp4")
        lines = "path,label,split,subject,source,fps", "v/a.mp4,wave,train,anna,home,25", "v/b.mp4,bow,train,,,25"
        wave, bow = read_dataset(table(tmp_path, *lines)).samples
        assert (wave.path, wave.label, wave.subject, wave.source) == (tmp_path / "v" / "a.mp4", 1, "anna", "home")
        assert (bow.label, bow.subject, bow.source) == (0, "", "")

    def test_path_and_label_are_enough(self, tmp_path):
        put(tmp_path / "a.mp4", tmp_path / "b.mp4")
        dataset = read_dataset(table(tmp_path, "path,label", "a.mp4,wave", "b.mp4,bow"))
        assert [sample.split for sample in dataset.samples] == ["train", "train"]

    def test_a_folder_is_read_by_its_labels_csv(self, tmp_path):
        put(tmp_path / "wave" / "a.mp4", tmp_path / "bow" / "b.mp4")
        lines = "path,label,subject", "wave/a.mp4,up,anna", "bow/b.mp4,down,ben"
        table(tmp_path, *lines).rename(tmp_path / "labels.csv")
        assert read_dataset(tmp_path).labels == ("down", "up")

    @pytest.mark.parametrize(
        ("lines", "complaint"),
        [
            (["file,label", "a.mp4,wave"], "lacks the column path"),
            (["path,label"], "lists no video"),
            (["path,label", "a.mp4,"], "line 2: path and label must both be there"),
            (["path,label,split", "a.mp4,wave,dev"], "split is 'dev', but must be one of train, val, test"),
            (["path,label", "a.mp4,wave", "a.mp4,bow"], "more than once"),
            (["path,label", "a.mp4"], "path and label must both be there"),
        ],
    )
    def test_mistakes_are_named_with_their_place(self, tmp_path, lines, complaint):
        with pytest.raises(DatasetError, match=complaint):
            read_dataset(table(tmp_path, *lines))

    def test_a_file_that_is_no_text_is_refused(self, tmp_path):
        file = tmp_path / "some.csv"
        file.write_bytes(b"\xff\xfe\x00path")
        with pytest.raises(DatasetError, match="no CSV in UTF-8"):
            read_dataset(file)


class TestUnreadableVideos:
    def test_a_few_are_left_out_and_listed(self, tmp_path):
        put(*(tmp_path / label / f"{n}.mp4" for label in ("bow", "wave") for n in range(5)))
        put_broken(tmp_path / "bow" / "broken.mp4")
        dataset = read_dataset(tmp_path)
        assert len(dataset) == 10
        assert [entry.path.name for entry in dataset.unreadable] == ["broken.mp4"]
        assert "damaged at its start" in describe(dataset.unreadable)

    def test_too_many_are_an_error_that_lists_them(self, tmp_path):
        put(*(tmp_path / label / f"{n}.mp4" for label in ("bow", "wave") for n in range(3)))
        put_broken(tmp_path / "bow" / "x.mp4", tmp_path / "wave" / "y.mp4")
        with pytest.raises(DatasetError, match=r"(?s)2 of 8 videos cannot be read, more than the 10%.*x\.mp4.*y\.mp4"):
            read_dataset(tmp_path)
        assert len(read_dataset(tmp_path, max_unreadable_share=0.25)) == 6

    def test_a_csv_may_name_a_missing_file_like_a_broken_one(self, tmp_path):
        put(tmp_path / "a.mp4", tmp_path / "b.mp4")
        lines = "path,label", "a.mp4,wave", "b.mp4,bow", "gone.mp4,bow"
        with pytest.raises(DatasetError, match="1 of 3 videos cannot be read"):
            read_dataset(table(tmp_path, *lines))
        assert len(read_dataset(table(tmp_path, *lines), max_unreadable_share=0.5)) == 2

    def test_no_class_may_be_left_empty_by_them(self, tmp_path):
        put(*(tmp_path / "bow" / f"{n}.mp4" for n in range(9)))
        put_broken(tmp_path / "wave" / "x.mp4")
        with pytest.raises(DatasetError, match="no video of class 'wave' in the split 'train' can be read"):
            read_dataset(tmp_path)

    def test_a_part_answers_for_its_own_alone(self, tmp_path):
        """What was left out of train does not make val too bad to use."""
        put(*(tmp_path / "train" / label / f"{n}.mp4" for label in ("bow", "wave") for n in range(10)))
        put(*(tmp_path / "val" / label / "x.mp4" for label in ("bow", "wave")))
        put_broken(tmp_path / "train" / "bow" / "y.mp4", tmp_path / "train" / "wave" / "z.mp4")
        val = read_dataset(tmp_path).split("val")
        assert len(val.without([], max_share=0.1)) == 2
        assert len(val.unreadable) == 2

    def test_a_long_list_is_cut(self, tmp_path):
        put_broken(*(tmp_path / label / f"{n}.mp4" for label in ("bow", "wave") for n in range(15)))
        with pytest.raises(DatasetError, match="and 10 more"):
            read_dataset(tmp_path)


@pytest.mark.skipif(not SHARED.exists(), reason="the project's data set is not beside the checkout")
def test_the_projects_data_set_is_read_whole_by_folder_or_file():
    dataset = read_dataset(SHARED / "labels.csv")
    assert (len(dataset), dataset.num_classes, dataset.unreadable) == (666, 15, ())
    assert len(dataset.split("train")) == 548
    assert {sample.source for sample in dataset.samples} == {"tennis", "cctv", "ut"}
    subjects = [{sample.subject for sample in dataset.split(split).samples} for split in ("train", "val")]
    assert not subjects[0] & subjects[1]
