// The plugin dies inside a call of the real Velero: what the Backup ends as, and that nothing is left.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Environment } from '#test/environment/environment.ts'
import { killProcess } from '#test/environment/faults/victims.ts'
import type { Rule } from '#test/environment/faults/weather.ts'
import { until } from '#test/environment/fixtures/echo/start.ts'
import type { VeleroServer } from '#test/environment/velero/server.ts'
import {
  aFilledVolume,
  assertNothingLeft,
  holdUploads,
  OVER,
  runOf,
  startWithPlugin,
  untilPhase,
} from './support/velero.ts'

const PLUGIN = 'velero-plugin-dormouse'
const WAITS = /^WaitingForPluginOperations$/

type Backup = { name: string; uploads: ReturnType<typeof holdUploads> }
type Death = {
  dies: string
  ends: 'PartiallyFailed'
  /** Of `velero backup create`. */
  options?: string[]
  /** What the user reads of it. */
  reason: RegExp
  /** Armed before the Backup is made. Resolves when the death is over. */
  happens: (backup: Backup) => Promise<void>
}

const deaths = suite('deaths around a Backup of Velero')
let environment: Environment
let velero: VeleroServer

deaths.before(async () => {
  environment = await startWithPlugin()
  velero = environment.parts.velero!
})
deaths.after(async () => {
  await environment.stop()
})

/** Resolves when a call that matches has come and `act` is done. */
async function atCall(rule: Pick<Rule, 'match' | 'fault'>, when: 'before' | 'after', act: () => Promise<void>) {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const limit = setTimeout(() => reject(new Error(`no call is ${rule.match}`)), 60_000)
  const happen = async () => await act().then(resolve, reject)
  const { remove } = environment.parts.faults!.weather.add({ ...rule, server: 'kubernetes', [when]: happen })
  await promise.finally(() => {
    clearTimeout(limit)
    remove()
  })
}

/** Every process of the plugin: calls come by the relay of Velero's network, so that no call tells whose it is. */
async function killPlugin(): Promise<void> {
  const pids = velero.pluginPids(PLUGIN)
  assert.ok(pids.length > 0, 'the plugin is to be killed, and does not run')
  await Promise.all(pids.map(killProcess))
}

async function waits({ name, uploads }: Backup): Promise<void> {
  await untilPhase(environment, 'Backup', name, WAITS)
  await until('an upload is held up', () => uploads.held() > 0)
}

const BROKEN = { reset: 'before' } as const

const DEATHS: Death[] = [
  {
    dies: 'the plugin inside Execute, before its Snapshot is made',
    ends: 'PartiallyFailed',
    reason: /code = Unavailable/,
    happens: async ({ uploads }) => {
      await atCall({ match: /^velero: POST snapshots/, fault: BROKEN }, 'before', killPlugin)
      uploads.release()
    },
  },
  {
    dies: 'the plugin inside Execute, after its Snapshot is made',
    ends: 'PartiallyFailed',
    reason: /code = Unavailable/,
    happens: async ({ uploads }) => {
      await atCall({ match: /^velero: POST snapshots/ }, 'after', killPlugin)
      uploads.release()
    },
  },
  {
    dies: 'the plugin inside Progress',
    ends: 'PartiallyFailed',
    reason: /code = Unavailable/,
    happens: async (backup) => {
      await waits(backup)
      await atCall({ match: 'velero: GET snapshots' }, 'before', killPlugin)
    },
  },
  {
    dies: 'the plugin inside Cancel, before the Snapshot is told',
    ends: 'PartiallyFailed',
    options: ['--item-operation-timeout', '5s'],
    reason: /Asynchronous action timed out/,
    happens: async () => await atCall({ match: /^velero: PATCH snapshots/, fault: BROKEN }, 'before', killPlugin),
  },
]

for (const [index, death] of DEATHS.entries())
  deaths(`${death.dies} ends as ${death.ends}, and nothing is left`, async () => {
    const name = `death-${index}`
    await aFilledVolume(environment, name, 'data')
    const uploads = holdUploads(environment)
    try {
      const happened = death.happens({ name, uploads })
      const created = environment.velero(
        'backup',
        'create',
        name,
        '--include-namespaces',
        name,
        ...(death.options ?? []),
      )
      await Promise.all([happened, created])
      const phase = await untilPhase(environment, 'Backup', name, OVER, 90_000)
      assert.is(phase, death.ends, await environment.velero('backup', 'describe', name, '--details'))
    } finally {
      uploads.release()
    }
    await assertTold(name, death)
    await assertNothingLeft(environment)
  })

/** The item that failed says why. */
async function assertTold(name: string, { reason }: Death): Promise<void> {
  const backup = await runOf(environment, 'Backup', name)
  const { errors = 0, backupItemOperationsFailed = 0 } = backup?.['status'] ?? {}
  assert.ok(errors + backupItemOperationsFailed > 0)
  assert.match(await environment.velero('backup', 'describe', name, '--details'), reason)
}

deaths.run()
