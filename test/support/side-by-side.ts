// Independent tests of a suite run at the same time: all start when the first one's turn comes, and each is reported under its own name.

export type Add = (name: string, act: () => Promise<void>) => void

/** `suite`: the suite, or a function like it. All tests that are added to the result run at the same time. */
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

/** The caller that awaits the promise gets its rejection; until then the rejection must not count as unhandled. */
function begin(act: () => Promise<void>): Promise<void> {
  const running = act()
  running.catch(() => undefined)
  return running
}
