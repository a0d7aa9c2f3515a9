//! Several objectives at once: fronts and crowding, as in NSGA-II (Deb et al. 2002).

use std::cmp::Ordering;

/// Whether `a` is nowhere worse than `b` and somewhere better; less is better.
pub fn dominates(a: &[f64], b: &[f64]) -> bool {
    a.iter().zip(b).all(|(a, b)| a <= b) && a.iter().zip(b).any(|(a, b)| a < b)
}

/// Front of every point: 0 where none dominates it, 1 where only points of front 0 do, and so on.
pub fn fronts(points: &[Vec<f64>]) -> Vec<usize> {
    let mut front = vec![usize::MAX; points.len()];
    for level in 0..points.len() {
        let open: Vec<usize> = (0..points.len()).filter(|i| front[*i] == usize::MAX).collect();
        if open.is_empty() {
            break;
        }
        for &i in &open {
            if !open.iter().any(|&j| dominates(&points[j], &points[i])) {
                front[i] = level;
            }
        }
        // Numbers that do not compare would leave nobody: the rest is the last front.
        if open.iter().all(|&i| front[i] == usize::MAX) {
            open.iter().for_each(|&i| front[i] = level);
        }
    }
    front
}

/// How far the neighbours of each point in its front are, in every objective; the ends are infinitely far.
pub fn crowding(points: &[Vec<f64>], front: &[usize]) -> Vec<f64> {
    let mut distance = vec![0.0; points.len()];
    let last = front.iter().max().copied().unwrap_or(0);
    for level in 0..=last {
        let members: Vec<usize> = (0..points.len()).filter(|i| front[*i] == level).collect();
        let objectives = members.first().map_or(0, |i| points[*i].len());
        for values in (0..objectives)
            .map(|objective| points.iter().map(|p| p[objective]).collect::<Vec<f64>>())
        {
            let mut order = members.clone();
            order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
            let (Some(&first), Some(&end)) = (order.first(), order.last()) else { continue };
            let span = values[end] - values[first];
            distance[first] = f64::INFINITY;
            distance[end] = f64::INFINITY;
            if span > 0.0 {
                for three in order.windows(3) {
                    distance[three[1]] += (values[three[2]] - values[three[0]]) / span;
                }
            }
        }
    }
    distance
}

/// Places of all points from best to worst: front by front, the lonely first.
pub fn order(points: &[Vec<f64>]) -> Vec<usize> {
    let front = fronts(points);
    let distance = crowding(points, &front);
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by(|&a, &b| match front[a].cmp(&front[b]) {
        Ordering::Equal => distance[b].total_cmp(&distance[a]),
        other => other,
    });
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fronts_and_order() {
        let points: Vec<Vec<f64>> = [[1.0, 4.0], [2.0, 2.0], [4.0, 1.0], [3.0, 3.0], [5.0, 5.0]]
            .iter()
            .map(|p| p.to_vec())
            .collect();
        assert_eq!(fronts(&points), [0, 0, 0, 1, 2]);
        let order = order(&points);
        assert_eq!(order[3..], [3, 4]);
        assert_eq!(order[2], 1, "the ends of a front come first");
        assert!(!dominates(&[1.0, 1.0], &[1.0, 1.0]));
        assert_eq!(fronts(&[vec![f64::NAN], vec![f64::NAN]]), [0, 0]);
        assert!(super::order(&[]).is_empty());
    }
}
