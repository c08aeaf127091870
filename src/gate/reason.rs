//! Why a verdict is what it is.

use serde::{Deserialize, Serialize};

use super::verdict::Verdict;

/// One reason, for machines and for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// Which reason.
    pub code: Code,
    /// The same with the particulars, in words.
    pub text: String,
}

/// The reasons there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// The reports are about different suites, or not about the suite the policy fixes.
    SuiteDiffers,
    /// A report lacks cases, has foreign ones, has some twice, or says another label is right.
    CasesDiffer,
    /// A report contradicts itself.
    ReportInconsistent,
    /// Another model than the one asked for answered or judged, or several did.
    ModelSwitched,
    /// More cases have an error than the policy allows.
    TooManyErrors,
    /// It is not known what the candidate was trained on.
    LineageUnknown,
    /// The candidate was trained on texts of the suite.
    Contaminated,
    /// No outcome on so few cases could pass.
    TooFewCases,
    /// A metric that a criterion asks for was not measured on every case.
    Unmeasured,
    /// A criterion rests on a judge that was not measured against people, or agrees with them too little.
    JudgeUntrusted,
    /// The arms have not as many answers per case as the policy wants.
    RepeatsDiffer,
    /// The cases come in too few clusters.
    TooFewClusters,
    /// A required slice has no or too few cases, or a key to group by is on no case.
    SliceMissing,
    /// The policy has an anchor, and there is no report of it.
    NoAnchor,
    /// The policy has several looks, and it was not said which one this is.
    WhichLook,
    /// The suite has been used for as many decisions as the policy allows.
    BudgetSpent,
    /// The policy asks for a floor, and the candidate's answers to it are missing or are not those.
    FloorMissing,
    /// The suite has a floor that the policy does not ask for.
    NoFloorRule,
    /// Both arms have every case wrong: the suite or the labels do not fit.
    NothingRight,
    /// The baselines are not the ones that the policy compares with.
    WrongBaseline,
    /// The policy does not say how to judge a first version.
    NoRule,
    /// The candidate is not a trained adapter.
    NotACandidate,
    /// Both arms have every case right: the suite can no longer tell them apart.
    Saturated,
    /// Significantly more cases regressed than improved.
    Harm,
    /// A slice is significantly worse.
    SliceHarm,
    /// A case of the floor is not passed.
    FloorFailed,
    /// Neither the rule nor harm could be shown.
    Undecided,
    /// The answers came from outside: retune did not run what they are said to come from.
    AnsweredElsewhere,
    /// Some cases have no text, so that nobody can tell whether the candidate was trained on them.
    TextsUnknown,
    /// Some cases have an error, within what the policy allows; each counts against the candidate.
    ErrorsCounted,
    /// Contaminated cases were left out of both arms.
    ContaminatedExcluded,
    /// Contaminated cases are in the numbers.
    ContaminatedIncluded,
    /// The loss is smaller than the margin, yet significant.
    SmallRegression,
    /// Slices too small to be tested, or to show a drop of the size the policy names.
    SlicesCoarse,
    /// A case of the floor that was not passed at first was passed when it was asked again.
    FloorUnsteady,
    /// A criterion that does not block does not hold.
    NotHeld,
}

impl Code {
    /// The verdict that this reason leads to; `None` for a remark.
    pub fn verdict(self) -> Option<Verdict> {
        match self {
            Self::SuiteDiffers
            | Self::CasesDiffer
            | Self::ReportInconsistent
            | Self::ModelSwitched
            | Self::TooManyErrors
            | Self::LineageUnknown
            | Self::Contaminated
            | Self::TooFewCases
            | Self::Unmeasured
            | Self::JudgeUntrusted
            | Self::RepeatsDiffer
            | Self::TooFewClusters
            | Self::SliceMissing
            | Self::NoAnchor
            | Self::WhichLook
            | Self::BudgetSpent
            | Self::FloorMissing
            | Self::NoFloorRule
            | Self::Saturated
            | Self::NothingRight
            | Self::WrongBaseline
            | Self::NoRule
            | Self::NotACandidate => Some(Verdict::Invalid),
            Self::Harm | Self::SliceHarm | Self::FloorFailed => Some(Verdict::Fail),
            Self::Undecided => Some(Verdict::Inconclusive),
            Self::AnsweredElsewhere
            | Self::TextsUnknown
            | Self::ErrorsCounted
            | Self::ContaminatedExcluded
            | Self::ContaminatedIncluded
            | Self::SmallRegression
            | Self::SlicesCoarse
            | Self::FloorUnsteady
            | Self::NotHeld => None,
        }
    }
}

impl Reason {
    pub(super) fn new(code: Code, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
        }
    }
}
