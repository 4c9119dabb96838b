// One token id a row, a workgroup a row. All limits are places in one order, logit descending, then id ascending; a search
// for the place where a running measure reaches its target goes down the bits of the logit, four at a time, with sums over
// all logits that agree in the bits above.

struct Params {
  vocabulary: u32,
  logits_start: u32,
  logits_stride: u32,
  settings_start: u32,
  settings_stride: u32,
  out_start: u32,
  out_stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<u32>;
@group(0) @binding(2) var<storage, read> settings: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<i32>;

const THREADS = 256u;
const NONE = 0xffffffffu;
const INFINITY_BITS = 0x7f800000u;
// What a search measures, and when it stops.
const COUNT_REACHES = 0u;
const MASS_REACHES = 1u;
const MASS_EXCEEDS = 2u;

struct Place {
  key: u32,
  id: u32,
}

var<workgroup> numbers: array<u32, THREADS>;
var<workgroup> ids: array<u32, THREADS>;
var<workgroup> masses: array<f32, THREADS>;
var<workgroup> bin_masses: array<f32, 16>;
var<workgroup> bin_counts: array<u32, 16>;
var<workgroup> answer: u32;

var<private> origin: u32;
var<private> inverse_temperature: f32;
var<private> largest: f32;
var<private> limit: Place;

// Ascending with the number; -0 ties with 0.
fn key_of(bits: u32) -> u32 {
  if bits == 0x80000000u {
    return bits;
  }
  return select(bits | 0x80000000u, ~bits, (bits & 0x80000000u) != 0u);
}

fn number_of(key: u32) -> f32 {
  return bitcast<f32>(select(~key, key & 0x7fffffffu, (key & 0x80000000u) != 0u));
}

fn mass_of(key: u32) -> f32 {
  let number = number_of(key);
  return select(exp2((number - largest) * inverse_temperature), 1.0, number == largest);
}

fn is_kept(key: u32, id: u32) -> bool {
  return key > limit.key || (key == limit.key && id <= limit.id);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  origin = params.logits_start + group.x * params.logits_stride;
  let at = params.settings_start + group.x * params.settings_stride;
  let to = params.out_start + group.x * params.out_stride;
  let best = best_place(thread);
  if best.key == NONE || best.id == NONE {
    if thread == 0u {
      out[to] = -1;
    }
    return;
  }
  let temperature = settings[at];
  let top_k = u32(max(settings[at + 1u], 0.0));
  if temperature == 0.0 {
    if thread == 0u {
      out[to] = i32(best.id);
    }
    return;
  }
  largest = number_of(best.key);
  inverse_temperature = 1.4426950408889634 / max(temperature, 1e-30);
  limit = Place(0u, NONE);
  if top_k > 0u && top_k < params.vocabulary {
    limit = search(COUNT_REACHES, f32(top_k), thread);
  }
  if settings[at + 2u] < 1.0 {
    limit = search(MASS_REACHES, settings[at + 2u], thread);
  }
  let drawn = search(MASS_EXCEEDS, settings[at + 3u], thread);
  if thread == 0u {
    out[to] = i32(drawn.id);
  }
}

// The first place of all; key NONE where a logit is NaN, id NONE where none is finite.
fn best_place(thread: u32) -> Place {
  var best = Place(0u, NONE);
  var finite = false;
  var nan = false;
  for (var id = thread; id < params.vocabulary; id += THREADS) {
    let bits = logits[origin + id];
    nan = nan || (bits & 0x7fffffffu) > INFINITY_BITS;
    finite = finite || (bits & INFINITY_BITS) != INFINITY_BITS;
    let key = key_of(bits);
    if key > best.key {
      best = Place(key, id);
    }
  }
  numbers[thread] = best.key;
  ids[thread] = best.id;
  masses[thread] = select(select(0.0, 1.0, finite), 2.0, nan);
  for (var width = THREADS / 2u; width > 0u; width /= 2u) {
    workgroupBarrier();
    if thread < width {
      let other = numbers[thread + width];
      if other > numbers[thread] || (other == numbers[thread] && ids[thread + width] < ids[thread]) {
        numbers[thread] = other;
        ids[thread] = ids[thread + width];
      }
      masses[thread] = max(masses[thread], masses[thread + width]);
    }
  }
  if thread == 0u {
    if masses[0] == 2.0 {
      numbers[0] = NONE;
    }
    if masses[0] == 0.0 {
      ids[0] = NONE;
    }
  }
  let key = workgroupUniformLoad(&numbers[0]);
  let id = workgroupUniformLoad(&ids[0]);
  return Place(key, id);
}

// The first place among those kept where the measure reaches `wanted`: a number of places, or a share of their mass. The
// last place where rounding leaves none.
fn search(measure: u32, wanted: f32, thread: u32) -> Place {
  var prefix = 0u;
  var before = 0.0;
  var count_before = 0u;
  var goal = wanted;
  for (var shift = 28; shift >= 0; shift -= 4) {
    sum_bins(prefix, u32(shift), thread);
    if shift == 28 && measure != COUNT_REACHES {
      var total = 0.0;
      for (var bin = 0; bin < 16; bin++) {
        total += bin_masses[bin];
      }
      goal = wanted * total;
    }
    var chosen = -1;
    for (var bin = 15; bin >= 0; bin--) {
      let count = bin_counts[bin];
      if count == 0u {
        continue;
      }
      // The lowest bin that is not empty is the last resort.
      if chosen >= 0 {
        let reached = before + bin_masses[chosen];
        let stops = select(select(reached > goal, reached >= goal, measure == MASS_REACHES), f32(count_before + bin_counts[chosen]) >= goal, measure == COUNT_REACHES);
        if stops {
          break;
        }
        before = reached;
        count_before += bin_counts[chosen];
      }
      chosen = bin;
    }
    prefix |= u32(max(chosen, 0)) << u32(shift);
    workgroupBarrier();
  }
  let ties = bin_counts[prefix & 15u];
  var rank = u32(max(goal, 1.0)) - min(count_before, u32(max(goal, 1.0)));
  if measure != COUNT_REACHES {
    let mass = mass_of(prefix);
    let share = max((goal - before) / max(mass, 1e-37), 0.0);
    rank = u32(min(select(floor(share) + 1.0, ceil(share), measure == MASS_REACHES), f32(ties)));
  }
  let id = nth_id(prefix, clamp(rank, 1u, ties), thread);
  return Place(prefix, id);
}

// Numbers and masses of the kept places whose bits above `shift + 4` are the prefix's, by the four bits at `shift`.
fn sum_bins(prefix: u32, shift: u32, thread: u32) {
  var mass: array<f32, 16>;
  var count: array<u32, 16>;
  for (var id = thread; id < params.vocabulary; id += THREADS) {
    let key = key_of(logits[origin + id]);
    let same = shift == 28u || (key >> min(shift + 4u, 31u)) == (prefix >> min(shift + 4u, 31u));
    if same && is_kept(key, id) {
      let bin = (key >> shift) & 15u;
      mass[bin] += mass_of(key);
      count[bin]++;
    }
  }
  for (var bin = 0u; bin < 16u; bin++) {
    masses[thread] = mass[bin];
    numbers[thread] = count[bin];
    for (var width = THREADS / 2u; width > 0u; width /= 2u) {
      workgroupBarrier();
      if thread < width {
        masses[thread] += masses[thread + width];
        numbers[thread] += numbers[thread + width];
      }
    }
    workgroupBarrier();
    if thread == 0u {
      bin_masses[bin] = masses[0];
      bin_counts[bin] = numbers[0];
    }
    workgroupBarrier();
  }
}

// The id of the `rank`-th place with this key, counted from 1.
fn nth_id(key: u32, rank: u32, thread: u32) -> u32 {
  let share = (params.vocabulary + THREADS - 1u) / THREADS;
  let first = thread * share;
  let end = min(params.vocabulary, first + share);
  var own = 0u;
  for (var id = first; id < end; id++) {
    own += select(0u, 1u, key_of(logits[origin + id]) == key);
  }
  numbers[thread] = own;
  workgroupBarrier();
  var before = 0u;
  for (var i = 0u; i < thread; i++) {
    before += numbers[i];
  }
  if before < rank && rank <= before + own {
    for (var id = first; id < end; id++) {
      before += select(0u, 1u, key_of(logits[origin + id]) == key);
      if before == rank {
        answer = id;
        break;
      }
    }
  }
  return workgroupUniformLoad(&answer);
}
