/**
 * The merges of a SentencePiece BPE model. Such a model joins the neighbouring pieces whose union has the best score,
 * so a merge exists for every way to split a piece into two known ones, and better scores come first.
 */
export function mergesFromScores(tokens: readonly string[], scores: readonly number[]): [string, string][] {
  const rank = new Map(tokens.map((token, id) => [token, id]));
  const merges: { left: string; right: string; score: number; order: readonly [number, number] }[] = [];
  for (const [id, token] of tokens.entries()) {
    const characters = [...token];
    let left = "";
    for (const [index, character] of characters.slice(0, -1).entries()) {
      left += character;
      const right = characters.slice(index + 1).join("");
      const leftId = rank.get(left);
      const rightId = rank.get(right);
      if (leftId === undefined || rightId === undefined) continue;
      merges.push({ left, right, score: scores[id] ?? 0, order: [leftId, rightId] });
    }
  }
  merges.sort((a, b) => b.score - a.score || a.order[0] - b.order[0] || a.order[1] - b.order[1]);
  return merges.map(({ left, right }) => [left, right]);
}
