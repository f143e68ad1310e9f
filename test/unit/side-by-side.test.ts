// Tests that run side by side start at the same time, and each reports its own result.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Add, sideBySide } from '../support/side-by-side.ts'

const together = suite('tests side by side')

/** Runs the added tests as a suite does, one after the other; returns the messages of those that failed, by name. */
async function run(added: [string, () => Promise<void>][]): Promise<Record<string, string>> {
  const failed: Record<string, string> = {}
  for (const [name, act] of added)
    await act().catch((error: Error) => {
      failed[name] = error.message
    })
  return failed
}

function collected(): { added: [string, () => Promise<void>][]; add: Add } {
  const added: [string, () => Promise<void>][] = []
  return { added, add: (name, act) => void added.push([name, act]) }
}

together('none begins before its turn, and with the first one all begin', async () => {
  const { added, add } = collected()
  const atOnce = sideBySide(add)
  let begun = 0
  const all = Promise.withResolvers<void>()
  for (const name of ['one', 'two', 'three'])
    atOnce(name, async () => {
      if (++begun === 3) all.resolve()
      await all.promise
    })
  assert.is(begun, 0)
  assert.equal(await run(added), {})
  assert.is(begun, 3)
})

together('each fails under its own name, also one that fails before its turn', async () => {
  const { added, add } = collected()
  const atOnce = sideBySide(add)
  const late = Promise.withResolvers<void>()
  atOnce('good', async () => await late.promise)
  atOnce('bad', async () => {
    setTimeout(() => late.resolve(), 20)
    throw new Error('it is bad')
  })
  assert.equal(await run(added), { bad: 'it is bad' })
})

together.run()
