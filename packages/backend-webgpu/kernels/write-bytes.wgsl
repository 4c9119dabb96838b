// Bytes [from, to) of `staged` into words of `target` from `target_start` on; the other bytes of these words stay.

struct Params {
  words: u32,
  target_start: u32,
  origin: u32,
  to: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> staged: array<u32>;
@group(0) @binding(2) var<storage, read_write> words: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var word = id.x; word < params.words; word += groups.x * 64u) {
    var mask = 0u;
    for (var byte = 0u; byte < 4u; byte++) {
      let at = 4u * word + byte;
      mask |= select(0u, 0xffu << (8u * byte), at >= params.origin && at < params.to);
    }
    let place = params.target_start + word;
    words[place] = (words[place] & ~mask) | (staged[word] & mask);
  }
}
