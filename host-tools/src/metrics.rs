//! How well scores separate anomalous from normal: ROC AUC, average precision,
//! best F1, false alarms.
//!
//! Everywhere `labels[i]` is true for an anomaly, scores grow with anomaly,
//! and a score at or above the threshold raises an alarm. Ties are handled
//! exactly: windows with equal scores are never told apart.

/// The threshold that maximizes F1, and what it gives.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct BestF1 {
    /// Harmonic mean of precision and recall, in [0, 1].
    pub f1: f64,
    /// Lowest score that raises an alarm.
    pub threshold: f64,
    /// Share of alarms that are anomalies.
    pub precision: f64,
    /// Share of anomalies that raise an alarm.
    pub recall: f64,
}

/// Alarms at a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Alarms {
    /// Anomalies that raise an alarm.
    pub hits: usize,
    /// Anomalies that do not.
    pub misses: usize,
    /// Normal ones that raise an alarm.
    pub false_alarms: usize,
    /// Normal ones that do not.
    pub quiet: usize,
}

impl Alarms {
    /// False alarms over normal ones; `None` without any.
    pub fn false_alarm_rate(&self) -> Option<f64> {
        ratio(self.false_alarms, self.false_alarms + self.quiet)
    }

    /// Hits over anomalies; `None` without any.
    pub fn recall(&self) -> Option<f64> {
        ratio(self.hits, self.hits + self.misses)
    }

    /// Hits over alarms; `None` without any.
    pub fn precision(&self) -> Option<f64> {
        ratio(self.hits, self.hits + self.false_alarms)
    }
}

/// Area under the ROC curve: the probability that an anomaly scores higher
/// than a normal one, ties counting half (Mann-Whitney).
///
/// `None` unless both classes occur, lengths agree and no score is NaN.
pub fn roc_auc(scores: &[f64], labels: &[bool]) -> Option<f64> {
    let groups = ranked(scores, labels)?;
    let (positives, negatives) = totals(&groups);
    if positives == 0 || negatives == 0 {
        return None;
    }
    // From the highest score down: each normal one is beaten by the anomalies
    // above it, and by half of those level with it.
    let mut above = 0.0;
    let mut area = 0.0;
    for group in &groups {
        area += group.negatives as f64 * (above + 0.5 * group.positives as f64);
        above += group.positives as f64;
    }
    Some(area / (positives as f64 * negatives as f64))
}

/// Rank correlation of two scores of the same windows (Spearman 1904), ties sharing
/// the mean of their ranks.
///
/// `None` for lengths that differ, a NaN, or a score that is the same everywhere.
pub fn rank_correlation(a: &[f64], b: &[f64]) -> Option<f64> {
    if a.len() != b.len() || a.iter().chain(b).any(|x| x.is_nan()) {
        return None;
    }
    let (a, b) = (ranks(a), ranks(b));
    let middle = (a.len() as f64 - 1.0) / 2.0;
    let product = |a: &[f64], b: &[f64]| -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - middle) * (b - middle)).sum()
    };
    let spread = (product(&a, &a) * product(&b, &b)).sqrt();
    (spread > 0.0).then(|| product(&a, &b) / spread)
}

/// The rank of every value from 0, equal ones at the middle of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for equal in order.chunk_by(|a, b| values[*a] == values[*b]) {
        let rank = first as f64 + (equal.len() as f64 - 1.0) / 2.0;
        equal.iter().for_each(|at| ranks[*at] = rank);
        first += equal.len();
    }
    ranks
}

/// Average precision: precision at each threshold, weighted with the recall
/// gained there (the step-wise area under the precision-recall curve).
///
/// `None` without anomalies, for lengths that differ or a NaN.
pub fn pr_auc(scores: &[f64], labels: &[bool]) -> Option<f64> {
    let groups = ranked(scores, labels)?;
    let (positives, _) = totals(&groups);
    if positives == 0 {
        return None;
    }
    let (mut hits, mut alarms) = (0, 0);
    let mut area = 0.0;
    for group in &groups {
        hits += group.positives;
        alarms += group.positives + group.negatives;
        area += group.positives as f64 * hits as f64 / alarms as f64;
    }
    Some(area / positives as f64)
}

/// The best F1 over all thresholds, and the highest threshold that reaches it.
///
/// `None` without anomalies, for lengths that differ or a NaN.
pub fn best_f1(scores: &[f64], labels: &[bool]) -> Option<BestF1> {
    let groups = ranked(scores, labels)?;
    let (positives, _) = totals(&groups);
    if positives == 0 {
        return None;
    }
    let (mut hits, mut alarms) = (0, 0);
    let mut best: Option<BestF1> = None;
    for group in &groups {
        hits += group.positives;
        alarms += group.positives + group.negatives;
        let f1 = 2.0 * hits as f64 / (alarms + positives) as f64;
        if best.is_none_or(|best| f1 > best.f1) {
            best = Some(BestF1 {
                f1,
                threshold: group.score,
                precision: hits as f64 / alarms as f64,
                recall: hits as f64 / positives as f64,
            });
        }
    }
    best
}

/// Alarms when everything at or above `threshold` raises one. Pairs beyond the
/// shorter slice are left out; NaN never raises an alarm.
pub fn alarms(scores: &[f64], labels: &[bool], threshold: f64) -> Alarms {
    let mut count = Alarms { hits: 0, misses: 0, false_alarms: 0, quiet: 0 };
    for (score, anomalous) in scores.iter().zip(labels) {
        let cell = match (*score >= threshold, anomalous) {
            (true, true) => &mut count.hits,
            (false, true) => &mut count.misses,
            (true, false) => &mut count.false_alarms,
            (false, false) => &mut count.quiet,
        };
        *cell += 1;
    }
    count
}

/// All windows with one score.
struct Group {
    score: f64,
    positives: usize,
    negatives: usize,
}

/// Groups of equal scores, highest first.
fn ranked(scores: &[f64], labels: &[bool]) -> Option<Vec<Group>> {
    if scores.len() != labels.len() || scores.iter().any(|s| s.is_nan()) {
        return None;
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    let mut groups: Vec<Group> = Vec::new();
    for i in order {
        // `==` rather than total order: 0 and -0 are one score.
        if groups.last().is_none_or(|group| group.score != scores[i]) {
            groups.push(Group { score: scores[i], positives: 0, negatives: 0 });
        }
        if let Some(group) = groups.last_mut() {
            group.positives += usize::from(labels[i]);
            group.negatives += usize::from(!labels[i]);
        }
    }
    Some(groups)
}

fn totals(groups: &[Group]) -> (usize, usize) {
    groups.iter().fold((0, 0), |(p, n), g| (p + g.positives, n + g.negatives))
}

fn ratio(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCORES: [f64; 4] = [0.1, 0.4, 0.35, 0.8];
    const LABELS: [bool; 4] = [false, false, true, true];

    #[test]
    fn the_textbook_case() {
        // scikit-learn's documentation: AUC 0.75, average precision 0.8333.
        assert_eq!(roc_auc(&SCORES, &LABELS), Some(0.75));
        let ap = pr_auc(&SCORES, &LABELS).unwrap();
        assert!((ap - 5.0 / 6.0).abs() < 1e-12);
        // Thresholds 0.8: 2/3, 0.4: 1/2, 0.35: 4/5, 0.1: 2/3.
        let best = best_f1(&SCORES, &LABELS).unwrap();
        assert_eq!((best.f1, best.threshold), (0.8, 0.35));
        assert_eq!(best.recall, 1.0);
    }

    #[test]
    fn ties_count_half() {
        let flat = [1.0; 6];
        let labels = [true, false, false, true, false, false];
        assert_eq!(roc_auc(&flat, &labels), Some(0.5));
        // One threshold: precision is the share of anomalies.
        assert_eq!(pr_auc(&flat, &labels), Some(2.0 / 6.0));
        // 3 above 1 or level: pairs (2,1) win, (2,2) half, (1,1) half, (1,2) lose.
        let auc = roc_auc(&[2.0, 1.0, 1.0, 2.0], &[true, true, false, false]);
        assert_eq!(auc, Some(0.5));
        assert_eq!(roc_auc(&[0.0, -0.0], &[true, false]), Some(0.5));
    }

    #[test]
    fn extremes_and_missing_classes() {
        assert_eq!(roc_auc(&[1.0, 2.0], &[false, true]), Some(1.0));
        assert_eq!(roc_auc(&[2.0, 1.0], &[false, true]), Some(0.0));
        assert_eq!(roc_auc(&[2.0, 1.0], &[true, true]), None);
        assert_eq!(pr_auc(&[2.0, 1.0], &[true, true]), Some(1.0));
        assert_eq!(pr_auc(&[2.0], &[false]), None);
        assert_eq!(roc_auc(&[f64::NAN, 1.0], &[true, false]), None);
        assert_eq!(roc_auc(&[1.0], &[true, false]), None);
    }

    #[test]
    fn alarms_are_counted_at_and_above() {
        let count = alarms(&SCORES, &LABELS, 0.4);
        assert_eq!((count.hits, count.misses), (1, 1));
        assert_eq!((count.false_alarms, count.quiet), (1, 1));
        assert_eq!(count.false_alarm_rate(), Some(0.5));
        assert_eq!(alarms(&[1.0], &[true], 0.0).false_alarm_rate(), None);
    }

    #[test]
    fn rank_correlation_of_monotone_and_reversed_scores() {
        let rank = |a: &[f64], b: &[f64]| rank_correlation(a, b);
        assert_eq!(rank(&[1.0, 2.0, 9.0], &[-3.0, 0.0, 0.1]), Some(1.0));
        assert_eq!(rank(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]), Some(-1.0));
        // scipy.stats.spearmanr([1, 2, 2, 3], [1, 3, 2, 4])
        let tied = rank(&[1.0, 2.0, 2.0, 3.0], &[1.0, 3.0, 2.0, 4.0]).unwrap();
        assert!((tied - 0.948_683_298).abs() < 1e-9, "{tied}");
        assert_eq!(rank(&[1.0, 1.0], &[1.0, 2.0]), None);
        assert_eq!(rank(&[1.0], &[1.0, 2.0]), None);
        assert_eq!(rank(&[f64::NAN, 1.0], &[1.0, 2.0]), None);
    }
}
