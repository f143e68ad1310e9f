// Explores every order in which a few processes can take their steps on one world; each may also stop for ever at any
// point. Worlds and memories are plain values that JSON can represent.

/** One step: changes the world and the process's own memory at once. 'wait': the step is not possible now, and nothing was changed. */
export type Step<World, Memory> = (world: World, memory: Memory) => 'wait' | undefined
export type Process<World, Memory> = { name: string; memory: Memory; steps: Step<World, Memory>[] }

type State<World, Memory> = { world: World; memories: Memory[]; at: number[] }

/** Calls `check` in every state that can be reached; it throws when the state is bad. Returns the number of states. */
export function explore<World, Memory>(
  start: World,
  processes: readonly Process<World, Memory>[],
  check: (world: World, path: string) => void,
): number {
  const seen = new Set<string>()
  const stack: { state: State<World, Memory>; path: string }[] = [
    { state: { world: start, memories: processes.map(({ memory }) => memory), at: processes.map(() => 0) }, path: '' },
  ]
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const { state, path } = next
    const name = JSON.stringify(state)
    if (seen.has(name)) continue
    seen.add(name)
    check(state.world, path)
    for (const [index, { name: process, steps }] of processes.entries()) {
      const step = steps[state.at[index] ?? 0]
      if (step === undefined) continue
      const copy: State<World, Memory> = JSON.parse(name)
      if (step(copy.world, copy.memories[index] as Memory) === 'wait') continue
      copy.at[index] = (copy.at[index] ?? 0) + 1
      stack.push({ state: copy, path: `${path} ${process}${copy.at[index]}` })
    }
  }
  return seen.size
}
