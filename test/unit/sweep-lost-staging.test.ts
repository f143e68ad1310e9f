// Staging claims whose restore is gone cost a sweep only a fixed share of its time, however many they are and however slow the answers.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryCluster } from '#shared/adapters/memory/cluster.ts'
import { CLONE_ANNOTATION, CLONE_LABEL } from '#shared/domain/staging.ts'
import { readSettings } from '#shared/kernel/env.ts'
import { RetryableError } from '#shared/kernel/errors.ts'
import { wakeForLostStaging } from '../../functions/sweep/lost-staging.ts'

const test = suite('the sweep and lost staging claims')
const START_MS = Date.parse('2026-11-30T12:00:00Z')
/** The most wake-ups at one time. */
const AT_ONCE = 16
const silent = { debug() {}, info() {}, warn() {}, error() {} }

/** The clock moves by what wake-ups take; those that are sent at the same time take their time together. */
function aWorld(wakeMs = 0) {
  let nowMs = START_MS
  const clock = { nowMs: () => nowMs, monotonicMs: () => nowMs, sleep: async () => undefined }
  const cluster = new MemoryCluster({ clock, pageObjects: 50 })
  const woken: string[] = []
  const refused = new Set<string>()
  const over = new AbortController()
  const most = { atOnce: 0 }
  let atOnce = 0
  const wake = async (_step: string, { name }: { name: string }) => {
    most.atOnce = Math.max(most.atOnce, ++atOnce)
    await new Promise((resolve) => setImmediate(resolve))
    nowMs += wakeMs / AT_ONCE
    atOnce--
    if (refused.has(name)) throw new RetryableError('WakeFailed', 'nobody answers')
    woken.push(name)
  }
  const seed = (tenant: string, count: number) => {
    for (let n = 0; n < count; n++) {
      const labels = { [CLONE_LABEL]: `uid-${tenant}-${n}` }
      const annotations = { [CLONE_ANNOTATION]: `${tenant}/clone-${n}` }
      const metadata = { name: `dormouse-${tenant}-${n}`, namespace: 'velero', labels, annotations }
      cluster.seed('PersistentVolumeClaim', { apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata, spec: {} })
    }
  }
  const deps = { cluster, clock, settings: readSettings({}), log: silent, wake }
  const run = () => wakeForLostStaging(deps, over.signal)
  return { seed, run, woken, refused, over, most, tookMs: () => nowMs - START_MS, clock }
}

test('a sweep spends two seconds on lost staging claims, many at a time; the rest follow in a later sweep', async () => {
  const world = aWorld(1000)
  world.seed('shop', 90)
  await world.run()
  assert.is(world.most.atOnce, AT_ONCE)
  assert.ok(world.tookMs() >= 2000 && world.tookMs() < 4000, `${world.tookMs()} ms`)
  assert.ok(world.woken.length < 90, `${world.woken.length} woken`)
  for (let sweeps = 0; sweeps < 50; sweeps++) await world.run()
  assert.is(new Set(world.woken).size, 90)
})

test('once the request is over no function is woken any more', async () => {
  const world = aWorld()
  world.seed('shop', 90)
  world.over.abort()
  assert.is(await world.run(), 0)
  assert.equal(world.woken, [])
})

test('a wake-up without an answer delays no other one, and no other tenant', async () => {
  const world = aWorld(1000)
  world.seed('shop', 90)
  world.seed('app', 1)
  for (let n = 0; n < 90; n++) world.refused.add(`dormouse-shop-${n}`)
  assert.is(await world.run(), 1)
  assert.equal(world.woken, ['dormouse-app-0'])
})

test.run()
