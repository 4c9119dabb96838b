// Puts together what the parts of `attend` wrote for each query. A workgroup a (head, row).

struct Params {
  first_row: u32,
  heads: u32,
  fours: u32,
  parts: u32,
  out_start4: u32,
  out_stride4: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rows: array<vec4i>;
@group(0) @binding(2) var<storage, read> partial: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> out: array<Element4>;

const THREADS = 64u;
var<workgroup> found: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  if rows[params.first_row + group.y].x < 0 {
    return;
  }
  let first = (group.y * params.heads + group.x) * params.parts;
  let size = params.fours + 1u;
  var largest = -1e30;
  for (var part = thread; part < params.parts; part += THREADS) {
    largest = max(largest, partial[(first + part) * size + params.fours].x);
  }
  found[thread] = largest;
  for (var width = THREADS / 2u; width > 0u; width /= 2u) {
    workgroupBarrier();
    if thread < width {
      found[thread] = max(found[thread], found[thread + width]);
    }
  }
  workgroupBarrier();
  largest = found[0];
  // With at most 64 fours an invocation has one, which it adds up over all parts.
  if thread < params.fours {
    var total = vec4f();
    var sum = 0.0;
    for (var part = 0u; part < params.parts; part++) {
      let at = (first + part) * size;
      let about = partial[at + params.fours];
      let fade = exp2(about.x - largest);
      sum += fade * about.y;
      total += fade * partial[at + thread];
    }
    out[params.out_start4 + group.y * params.out_stride4 + group.x * params.fours + thread] = Element4(total / sum);
  }
}
