// Whether a difference is noise.
#ifndef GRAFT_CORE_EVAL_SIGNIFICANCE_H_
#define GRAFT_CORE_EVAL_SIGNIFICANCE_H_

#include <cstdint>

namespace graft {

struct Interval {
  double low = 0;
  double high = 1;
};

// The 95 % interval of a share by Wilson's score, as statsmodels's proportion_confint(method="wilson"): it stays within
// [0, 1] and says something of 0 and of 1 too. 0 <= part <= whole; all of [0, 1] when whole is 0.
Interval WilsonInterval(int64_t part, int64_t whole);

// McNemar's exact test of two classifiers on the same images, two-sided: how probable it is, if both were equally good,
// that those which only one of them gets right are shared out this unevenly or more. In (0, 1]; 1 when there are none.
// Counts are 0 or more; time O(the smaller count).
double McNemarExact(int64_t only_first_right, int64_t only_second_right);

}  // namespace graft

#endif  // GRAFT_CORE_EVAL_SIGNIFICANCE_H_
