// Which query a row of a tile is. A tile holds the heads of a KV head's group for `tokens` neighbouring rows, or, where a
// group has more heads than the tile rows, a part of them for one. Needs `params.tokens`, `params.group`, `params.chunks`.

struct QueryTile {
  // First row of the batch, and rows.
  first: u32,
  count: u32,
  // First head within the group, and heads.
  head: u32,
  heads: u32,
  kv_head: u32,
}

var<private> tile: QueryTile;

// The row of the batch that a row of the tile belongs to; tile.first + tile.count or more where it is none.
fn token_of(row: u32) -> u32 {
  return tile.first + row / tile.heads;
}

// The query head, counted over all KV heads.
fn head_of(row: u32) -> u32 {
  return tile.kv_head * params.group + tile.head + row % tile.heads;
}

fn has_query(row: u32) -> bool {
  return row < tile.count * tile.heads;
}

// Tile `index` of KV head `kv_head` over rows [0, rows). The kernel puts it into `tile`; its control flow must use what this
// returns, as only that is known to be the same for all invocations.
fn tile_at(index: u32, kv_head: u32, rows: u32) -> QueryTile {
  let first = index / params.chunks * params.tokens;
  let head = index % params.chunks * TILE_ROWS;
  return QueryTile(first, min(params.tokens, rows - first), head, min(TILE_ROWS, params.group - head), kv_head);
}
