// Runs by seed: whatever users ask for and whatever the fault plan, each run ends right, leaves nothing behind, and harms nothing of others.

import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Choices } from './choices.ts'
import { RECORDS, readRecord, writeRecord } from './record.ts'
import { simulate } from './run.ts'

const SEEDS = Number(process.env['SEEDS'] ?? 20)
const RECORDED = fileURLToPath(new URL('recorded', import.meta.url))

for (let seed = 1; seed <= SEEDS; seed++) {
  test(`run ${seed} ends right`, async () => {
    const { failure, steps } = await simulate(Choices.ofSeed(seed))
    if (failure === undefined) return
    const file = `${RECORDS}/seed-${seed}.json`
    writeRecord(file, { why: failure.split('\n', 1)[0] ?? '', steps })
    assert.unreachable(`${failure}\nrecorded in ${file}: node test/simulation/replay.ts ${file} --trace`)
  })
}

for (const name of readdirSync(RECORDED).sort()) {
  const { why, steps } = readRecord(`${RECORDED}/${name}`)
  test(`recorded ${name} ends right; once: ${why}`, async () => {
    const { failure } = await simulate(Choices.ofSteps(steps))
    assert.is(failure, undefined)
  })
}

for (const seed of [3, 11, 29]) {
  test(`run ${seed} played back from its list is the same run`, async () => {
    const traces: string[][] = [[], []]
    const first = await simulate(Choices.ofSeed(seed), (line) => traces[0]?.push(line))
    const second = await simulate(Choices.ofSteps(first.steps), (line) => traces[1]?.push(line))
    assert.ok(first.steps.length > 20, 'something happened in it')
    assert.equal(second.steps, first.steps)
    assert.equal(traces[1], traces[0])
  })
}

test.run()
