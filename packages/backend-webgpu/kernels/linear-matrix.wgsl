// out = x · weightᵀ + bias by subgroup matrices, f16 into f32: tiles of 128 by 128, eight subgroups with 64 rows by 32 outputs
// each, DEPTH columns at a time. The next columns are loaded while these are multiplied. Weights pass as f16.
// Workgroups: outputs, rows.
// uses: <weight> <half-weight> linear-params
// needs: subgroup-matrix

// 32, or 64 where workgroups have the memory: on an H100 104 and 149 TFLOP/s.
override DEPTH: u32 = 32u;
// Eight more than a row has: rows begin in different banks.
override PITCH: u32 = DEPTH + 8u;

const TILE = 128u;
const THREADS = 256u;
const ACROSS = 4u;
const ROWS = 64u;
const OUTPUTS = 32u;
const SIDE = 16u;
const RESULT_PITCH = 20u;

alias Left = subgroup_matrix_left<f16, 16, 16>;
alias Right = subgroup_matrix_right<f16, 16, 16>;
alias Product = subgroup_matrix_result<f32, 16, 16>;

// [row or output, column]
var<workgroup> inputs: array<f16, TILE * PITCH>;
var<workgroup> matrix: array<f16, TILE * PITCH>;
// A product of each subgroup on its way out.
var<workgroup> results: array<f32, 8u * SIDE * RESULT_PITCH>;

// Fours of four rows that lie `apart`; rows past the last repeat it. Nothing here branches: all loads are under way at once.
fn inputs_of(row: u32, apart: u32, column4: u32) -> mat4x4<f16> {
  return mat4x4<f16>(
    input4(row, column4), input4(row + apart, column4), input4(row + 2u * apart, column4), input4(row + 3u * apart, column4),
  );
}

fn input4(row: u32, column4: u32) -> vec4<f16> {
  return vec4<f16>(x[params.x_start4 + min(row, params.rows - 1u) * params.x_stride4 + column4]);
}

fn matrix_of(output: u32, apart: u32, column4: u32) -> mat4x4<f16> {
  return mat4x4<f16>(
    matrix4(output, column4), matrix4(output + apart, column4), matrix4(output + 2u * apart, column4), matrix4(output + 3u * apart, column4),
  );
}

fn matrix4(output: u32, column4: u32) -> vec4<f16> {
  return half_weight4(min(output, params.outputs - 1u), column4);
}

// Zeros past the last column of a row, for fours that begin at column4.
fn inside(fours: mat4x4<f16>, column4: u32) -> mat4x4<f16> {
  let is_column = vec4u(4u * column4) + vec4u(0u, 1u, 2u, 3u) < vec4u(params.columns);
  let none = vec4<f16>();
  return mat4x4<f16>(
    select(none, fours[0], is_column), select(none, fours[1], is_column), select(none, fours[2], is_column), select(none, fours[3], is_column),
  );
}

fn stage_inputs(at: u32, apart: u32, fours: mat4x4<f16>) {
  stage_input(at, fours[0]);
  stage_input(at + apart * PITCH, fours[1]);
  stage_input(at + 2u * apart * PITCH, fours[2]);
  stage_input(at + 3u * apart * PITCH, fours[3]);
}

fn stage_matrix(at: u32, apart: u32, fours: mat4x4<f16>) {
  stage_weight(at, fours[0]);
  stage_weight(at + apart * PITCH, fours[1]);
  stage_weight(at + 2u * apart * PITCH, fours[2]);
  stage_weight(at + 3u * apart * PITCH, fours[3]);
}

fn stage_input(at: u32, four: vec4<f16>) {
  inputs[at] = four.x;
  inputs[at + 1u] = four.y;
  inputs[at + 2u] = four.z;
  inputs[at + 3u] = four.w;
}

fn stage_weight(at: u32, four: vec4<f16>) {
  matrix[at] = four.x;
  matrix[at + 1u] = four.y;
  matrix[at + 2u] = four.z;
  matrix[at + 3u] = four.w;
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_id) subgroup: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let first_row = group.y * TILE;
  let first_output = group.x * TILE;
  let own_row = subgroup / ACROSS * ROWS;
  let own_output = subgroup % ACROSS * OUTPUTS;
  // What this invocation stages: a four of each of DEPTH / 8 rows and outputs.
  let fours = DEPTH / 4u;
  let apart = THREADS / fours;
  let index = thread / fours;
  let column = thread % fours;
  let at = index * PITCH + 4u * column;
  let second = 4u * apart;
  let last = (params.columns - 1u) / 4u;
  var input_a = inside(inputs_of(first_row + index, apart, min(column, last)), column);
  var matrix_a = inside(matrix_of(first_output + index, apart, min(column, last)), column);
  var input_b: mat4x4<f16>;
  var matrix_b: mat4x4<f16>;
  if DEPTH > 32u {
    input_b = inside(inputs_of(first_row + index + second, apart, min(column, last)), column);
    matrix_b = inside(matrix_of(first_output + index + second, apart, min(column, last)), column);
  }
  // By 16 rows and 16 outputs. An array that a loop indexes would lie in memory: six times slower on an H100.
  var sum00: Product;
  var sum01: Product;
  var sum10: Product;
  var sum11: Product;
  var sum20: Product;
  var sum21: Product;
  var sum30: Product;
  var sum31: Product;
  for (var first = 0u; 4u * first < params.columns; first += fours) {
    workgroupBarrier();
    stage_inputs(at, apart, input_a);
    stage_matrix(at, apart, matrix_a);
    if DEPTH > 32u {
      stage_inputs(at + second * PITCH, apart, input_b);
      stage_matrix(at + second * PITCH, apart, matrix_b);
    }
    workgroupBarrier();
    let next = first + fours + column;
    input_a = inputs_of(first_row + index, apart, min(next, last));
    matrix_a = matrix_of(first_output + index, apart, min(next, last));
    if DEPTH > 32u {
      input_b = inputs_of(first_row + index + second, apart, min(next, last));
      matrix_b = matrix_of(first_output + index + second, apart, min(next, last));
    }
    if 4u * (first + 2u * fours) > params.columns {
      input_a = inside(input_a, next);
      matrix_a = inside(matrix_a, next);
      input_b = inside(input_b, next);
      matrix_b = inside(matrix_b, next);
    }
    for (var k = 0u; k < DEPTH; k += SIDE) {
      let right0 = subgroupMatrixLoad<Right, col_major>(&matrix, own_output * PITCH + k, PITCH);
      let right1 = subgroupMatrixLoad<Right, col_major>(&matrix, (own_output + SIDE) * PITCH + k, PITCH);
      let left0 = subgroupMatrixLoad<Left, row_major>(&inputs, own_row * PITCH + k, PITCH);
      sum00 = subgroupMatrixMultiplyAccumulate(left0, right0, sum00);
      sum01 = subgroupMatrixMultiplyAccumulate(left0, right1, sum01);
      let left1 = subgroupMatrixLoad<Left, row_major>(&inputs, (own_row + SIDE) * PITCH + k, PITCH);
      sum10 = subgroupMatrixMultiplyAccumulate(left1, right0, sum10);
      sum11 = subgroupMatrixMultiplyAccumulate(left1, right1, sum11);
      let left2 = subgroupMatrixLoad<Left, row_major>(&inputs, (own_row + 2u * SIDE) * PITCH + k, PITCH);
      sum20 = subgroupMatrixMultiplyAccumulate(left2, right0, sum20);
      sum21 = subgroupMatrixMultiplyAccumulate(left2, right1, sum21);
      let left3 = subgroupMatrixLoad<Left, row_major>(&inputs, (own_row + 3u * SIDE) * PITCH + k, PITCH);
      sum30 = subgroupMatrixMultiplyAccumulate(left3, right0, sum30);
      sum31 = subgroupMatrixMultiplyAccumulate(left3, right1, sum31);
    }
  }
  let row = first_row + own_row;
  let output = first_output + own_output;
  write(sum00, row, output, subgroup, lane);
  write(sum01, row, output + SIDE, subgroup, lane);
  write(sum10, row + SIDE, output, subgroup, lane);
  write(sum11, row + SIDE, output + SIDE, subgroup, lane);
  write(sum20, row + 2u * SIDE, output, subgroup, lane);
  write(sum21, row + 2u * SIDE, output + SIDE, subgroup, lane);
  write(sum30, row + 3u * SIDE, output, subgroup, lane);
  write(sum31, row + 3u * SIDE, output + SIDE, subgroup, lane);
}

fn write(sum: Product, first_row: u32, first_output: u32, subgroup: u32, lane: u32) {
  let start = subgroup * SIDE * RESULT_PITCH;
  workgroupBarrier();
  subgroupMatrixStore<row_major>(&results, start, sum, RESULT_PITCH);
  workgroupBarrier();
  for (var i = lane; i < SIDE * SIDE; i += 32u) {
    store(first_row + i / SIDE, first_output + i % SIDE, results[start + i / SIDE * RESULT_PITCH + i % SIDE]);
  }
}
