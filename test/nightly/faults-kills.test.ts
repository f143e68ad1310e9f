// The fault bench's kills and clocks, which the crash tests use: each of them happens, and what was killed comes back.

import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Environment, startEnvironment } from '#test/environment/environment.ts'
import { isAlive, moversOf } from '#test/environment/faults/callers.ts'
import type { Rule } from '#test/environment/faults/fault-plan.ts'
import type { Faults } from '#test/environment/faults/faults.ts'
import { kill, VICTIMS, type Victim } from '#test/environment/faults/victims.ts'
import { aSnapshot as anEcho, echoes, startEcho, until } from '#test/environment/fixtures/echo/start.ts'
import { aSnapshot, backUp, claimRepository } from '#test/environment/main-job.ts'
import { descendants } from '#test/environment/process/memory.ts'
import { noise, writePieces } from '#test/environment/storage/content.ts'

const MIB = 2 ** 20
const CLAIM = { namespace: 'shop', name: 'orders' }
const TAKE = 'snapshot: SOAP VslmCreateSnapshot_Task'

const bench = suite('kills of the fault bench')
let environment: Environment
let faults: Faults
let repository: string

bench.before(async () => {
  environment = await startEnvironment({
    faults: true,
    env: { DORMOUSE_LEASE_SECONDS: '5', DORMOUSE_DUE_SECONDS: '1', FAKE_VDDK_MBPS: '4' },
    pingEveryMs: { 'dormouse-sweep': 1000 },
  })
  faults = environment.parts.faults!
  repository = await claimRepository(environment)
  const volume = await environment.createVolume({ ...CLAIM, sizeBytes: 16 * MIB })
  await writePieces(volume.file, [{ offsetBytes: 0, data: noise('orders', 8 * MIB) }])
})
bench.before.each(() => faults.plan.clear())
bench.after(async () => {
  await environment.stop()
})

for (const [when, snapshots] of [
  ['before', 0],
  ['after', 1],
] as const) {
  bench(`a function that is killed right ${when} its write has left ${snapshots} snapshots`, async () => {
    const left: number[] = []
    let killed = 0
    const act: Rule['before'] = async ({ caller }) => {
      process.kill(caller.pid!, 'SIGKILL')
      await until('it is dead', () => !isAlive(caller.pid!))
      killed = caller.pid!
      await sleep(500)
      left.push((await environment.vcenterState()).fcds.flatMap((disk) => disk.snapshots).length)
    }
    faults.plan.add({ match: TAKE, [when]: act })
    await backUp(environment, CLAIM, repository)
    assert.equal(left, [snapshots])
    assert.not(isAlive(killed))
  })
}

const pidsOf = (victim: Victim): number[] => {
  const { controlPlane, adapters, s3 } = environment.parts
  const roots = environment.activator.programs().map(({ leashPid }) => leashPid)
  if (victim === 'mover') return roots.flatMap(moversOf)
  if (victim === 'function') return roots.flatMap((root) => descendants(root))
  return { adapter: adapters.pids, router: [], s3: [s3.pid ?? 0], ...controlPlane.pids }[victim] ?? []
}

for (const victim of VICTIMS) {
  bench(`${victim} is killed, and is back`, async () => {
    if (victim === 'mover' || victim === 'function') {
      faults.plan.add({ match: /PUT checkpoint|PUT packs/, before: async () => await sleep(300) })
      await environment.api.create(aSnapshot(`to-kill-${victim}`, CLAIM, repository))
      await until('it runs', () => pidsOf('mover').length > 0, 90_000)
    }
    const before = pidsOf(victim)
    const held = victim === 'router' ? environment.router.url : ''
    const { what, back } = await kill(environment, victim)
    assert.match(what, victim === 'mover' || victim === 'function' ? /^[1-9]/ : victim)
    assert.not(before.some(isAlive), 'none of them is alive')
    if (victim === 'router') assert.ok(await fetch(held).catch(() => true), 'nobody answers')
    await back
    assert.is((await environment.api.list('v1', 'Namespace')).length > 0, true)
    assert.ok((await environment.bucketObjects()).length > 0)
    if (victim === 'router') assert.is((await fetch(held)).status, 404)
    const now = pidsOf(victim)
    if (!['mover', 'function', 'router'].includes(victim)) {
      assert.is(now.length, before.length)
      assert.ok(now.every((pid) => isAlive(pid) && !before.includes(pid)))
    }
  })
}
bench.run()

const clock = suite('a clock that jumps')

clock('is the running function’s wall clock alone', async () => {
  const echo = await startEcho({ faults: true })
  try {
    await echo.createNamespace('app')
    const shiftOf = async (name: string) => {
      await echo.api.create(anEcho(name))
      await until(name, () => echoes(echo, name).length === 1)
      return Math.round((echoes(echo, name)[0]!.at - Date.now()) / 60_000)
    }
    assert.is(await shiftOf('right'), 0)
    for (const hours of [1, -1]) {
      await echo.parts.faults!.shiftClock(hours * 3_600_000)
      await sleep(300)
      assert.is(await shiftOf(`shifted-${hours + 1}`), hours * 60)
    }
    assert.is(echo.activator.counts()['echo']?.coldStartsMs.length, 1, 'it was the same process throughout')
  } finally {
    await echo.stop()
  }
})
clock.run()
