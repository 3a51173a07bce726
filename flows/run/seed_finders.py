"""What finds seeds, as a configuration says: a grid of points, or a detector; both follow what they found."""

from rich.console import Console

from flows.configure import as_configuration
from flows.run.seed_table import SeedsFound, check_seed_folder, seed_videos
from labeling.config import DetectorConfig, LabelConfig
from labeling.errors import BadConfiguration
from labeling.track.association import AssociationRule
from labeling.track.detectors.open import open_detector
from labeling.track.finding import DetectorSeeds, GridSeeds
from labeling.track.grid import GridRule, grid_finder
from labeling.track.predictor import Predictor, build_predictor, default_device, recipe_of


def seed_grid(
    config: LabelConfig, *, out: str, rule: GridRule, every_s: float | None, boxes: bool, console: Console
) -> SeedsFound:
    """Find seeds by a grid of points; raises BadConfiguration for a source, network or folder that cannot be used."""
    folder, device = check_seed_folder(out, every_s), default_device()
    predictor = _predictor(config, device)
    finder = GridSeeds(predictor, grid_finder(predictor, rule), rule, boxes)
    return seed_videos(config, finder, folder=folder, every_s=every_s, device=device, console=console)


def seed_detector(config: LabelConfig, *, out: str, every_s: float, console: Console) -> SeedsFound:
    """Find seeds by a detector; raises BadConfiguration also for a detector that cannot be used."""
    folder, device = check_seed_folder(out, every_s), default_device()
    rule = association_rule(config.prompts.detector)
    detector = open_detector(config.prompts.detector, device=device)
    finder = DetectorSeeds(_predictor(config, device), detector, rule, tuple(config.prompts.detector.queries))
    return seed_videos(config, finder, folder=folder, every_s=every_s, device=device, console=console)


def association_rule(config: DetectorConfig) -> AssociationRule:
    """Return the rule of a detector's settings; BadConfiguration where scores are no shares."""
    with as_configuration():
        if config.start_score < config.min_score:
            raise BadConfiguration(
                f"prompts.detector.start_score is {config.start_score}; expected min_score ({config.min_score}) or more"
            )
        return AssociationRule(min_score=config.min_score, start_score=config.start_score)


def _predictor(config: LabelConfig, device: str) -> Predictor:
    recipe = recipe_of(config.model, config.precision, config.tracker)
    return build_predictor(recipe, config.model.checkpoint, device=device)
