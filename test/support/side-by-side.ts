// Tests of a suite that do not meet each other: all begin when the first of them has its turn, and each ends under its own name.

export type Add = (name: string, act: () => Promise<void>) => void

/** The suite, or what stands for it; what is added to the result runs at once with whatever else is added to it. */
export function sideBySide(suite: Add): Add {
  const acts: (() => Promise<void>)[] = []
  let running: Promise<void>[] | undefined
  return (name, act) => {
    const index = acts.push(act) - 1
    suite(name, async () => {
      running ??= acts.map(begin)
      await running[index]
    })
  }
}

/** Who waits for it hears how it ended; until then nobody may be waiting. */
function begin(act: () => Promise<void>): Promise<void> {
  const running = act()
  running.catch(() => undefined)
  return running
}
