/** Calls `act` for every item, at most `lanes` at a time. The results keep the order of the items. The first error rejects the call. */
export async function inParallel<Item, Result>(
  items: readonly Item[],
  lanes: number,
  act: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = []
  const next = items.entries()
  const worker = async () => {
    for (const [index, item] of next) results[index] = await act(item)
  }
  await Promise.all(Array.from({ length: lanes }, worker))
  return results
}
