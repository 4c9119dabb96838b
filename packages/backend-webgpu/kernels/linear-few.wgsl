// out = x · weightᵀ + bias for up to 8 rows: every weight is read once. 16 invocations share an output, OUTPUTS outputs a
// workgroup.
// uses: <weight> linear-params fma4

// Rows that the sums are kept for.
override ROWS: u32 = 8u;

const LANES = 16u;
const OUTPUTS = 4u;
const THREADS = 64u;
const MOST_ROWS = 8u;

var<workgroup> partial: array<f32, 512>;

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let lane = thread % LANES;
  let output = (group.y * groups.x + group.x) * OUTPUTS + thread / LANES;
  let fours = (params.columns + 3u) / 4u;
  let whole = params.columns / 4u;
  var sums: array<f32, MOST_ROWS>;
  if output < params.outputs {
    for (var column4 = lane; column4 < whole; column4 += LANES) {
      let weights4 = weight4(output, column4);
      for (var r = 0u; r < ROWS; r++) {
        sums[r] = fma4(vec4f(x[params.x_start4 + r * params.x_stride4 + column4]), weights4, sums[r]);
      }
    }
    if whole < fours && lane == whole % LANES {
      let inside = vec4u(4u * whole) + vec4u(0u, 1u, 2u, 3u) < vec4u(params.columns);
      let weights4 = weight4(output, whole);
      for (var r = 0u; r < ROWS; r++) {
        sums[r] += dot(select(vec4f(), vec4f(x[params.x_start4 + r * params.x_stride4 + whole]), inside), weights4);
      }
    }
  }
  for (var r = 0u; r < ROWS; r++) {
    partial[r * THREADS + thread] = sums[r];
  }
  workgroupBarrier();
  for (var i = thread; i < ROWS * OUTPUTS; i += THREADS) {
    let row = i / OUTPUTS;
    let to = (group.y * groups.x + group.x) * OUTPUTS + i % OUTPUTS;
    if row < params.rows && to < params.outputs {
      var sum = 0.0;
      for (var l = 0u; l < LANES; l++) {
        sum += partial[row * THREADS + i % OUTPUTS * LANES + l];
      }
      store(row, to, sum);
    }
  }
}
