// Something dies in the middle of a Backup of the real Velero: the ends of the Backup and of the Snapshot, and that nothing is left. The
// same table is in velero/README.md.

import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Environment } from '#test/environment/environment.ts'
import { until } from '#test/environment/fixtures/echo/start.ts'
import { atCall, type Dying, killPlugin, restartServer, untilFinalizing, waits } from '../system/support/deaths.ts'
import {
  aFilledVolume,
  assertNothingLeft,
  holdUploads,
  listOf,
  OVER,
  runOf,
  startWithPlugin,
  untilPhase,
} from '../system/support/velero.ts'

const SECOND_MS = 1000

type Death = {
  dies: string
  ends: 'Completed' | 'PartiallyFailed' | 'Failed'
  operation: 'completed' | 'failed' | 'none'
  /** The end of the Snapshot; undefined: there is none. */
  snapshot: RegExp | undefined
  /** The exit code of `velero backup create`. */
  options?: string[]
  /** The message that the user reads about a failure. */
  reason?: RegExp
  /** Prepared before the Backup is made. Resolves when the death is over. */
  happens: (dying: Dying) => Promise<void>
}

const BROKEN = { reset: 'before' } as const
/** Whichever comes first: the sweep sees the end of the Backup, or the upload is complete. */
const OF_NOBODY = /^(Canceled|Uploaded)$/

const DEATHS: Death[] = [
  {
    dies: 'the plugin inside Execute, before its Snapshot is made',
    ends: 'PartiallyFailed',
    operation: 'none',
    snapshot: undefined,
    reason: /code = Unavailable/,
    happens: async (dying) => {
      await atCall(dying, { match: /^velero: POST snapshots/, fault: BROKEN, when: 'before' }, () => killPlugin(dying))
      dying.uploads.release()
    },
  },
  {
    dies: 'the plugin inside Execute, after its Snapshot is made',
    ends: 'PartiallyFailed',
    operation: 'none',
    snapshot: OF_NOBODY,
    reason: /code = Unavailable/,
    happens: async (dying) => {
      await atCall(dying, { match: /^velero: POST snapshots/, when: 'after' }, () => killPlugin(dying))
      dying.uploads.release()
    },
  },
  {
    dies: 'the plugin between two calls',
    // No operation fails; Velero counts its own line in the log of a Backup that is InProgress.
    ends: 'PartiallyFailed',
    operation: 'completed',
    snapshot: /^Uploaded$/,
    reason: /plugin process exited/,
    happens: async (dying) => {
      // After AppliesTo, Velero itself looks for the claims, and then passes each of them to Execute.
      await atCall(dying, { match: 'velero: GET configmaps', when: 'after' }, async () => undefined)
      await atCall(dying, { match: 'velero: GET persistentvolumeclaims', when: 'before' }, () => killPlugin(dying))
      dying.uploads.release()
    },
  },
  {
    dies: 'the plugin inside Progress',
    ends: 'PartiallyFailed',
    operation: 'failed',
    snapshot: OF_NOBODY,
    reason: /code = Unavailable/,
    happens: async (dying) => {
      await waits(dying)
      await atCall(dying, { match: 'velero: GET snapshots', when: 'before' }, () => killPlugin(dying))
    },
  },
  {
    dies: 'the plugin inside Cancel, before the Snapshot is told',
    ends: 'PartiallyFailed',
    operation: 'failed',
    snapshot: OF_NOBODY,
    options: ['--item-operation-timeout', '5s'],
    reason: /Asynchronous action timed out/,
    happens: async (dying) => {
      const told = { match: /^velero: PATCH snapshots step=/, fault: BROKEN, when: 'before' } as const
      await atCall(dying, told, () => killPlugin(dying))
    },
  },
  {
    dies: 'the plugin inside Cancel, after the Snapshot is told',
    ends: 'PartiallyFailed',
    operation: 'failed',
    snapshot: /^Canceled$/,
    options: ['--item-operation-timeout', '5s'],
    reason: /Asynchronous action timed out/,
    happens: async (dying) =>
      await atCall(dying, { match: /^velero: PATCH snapshots step=/, when: 'after' }, () => killPlugin(dying)),
  },
  {
    dies: 'the plugin at the start of Finalizing',
    ends: 'Completed',
    operation: 'completed',
    snapshot: /^Uploaded$/,
    happens: async (dying) => {
      await untilFinalizing(dying)
      await atCall(dying, { match: 'velero: GET configmaps', when: 'before' }, () => killPlugin(dying))
    },
  },
  {
    dies: 'the server while the Backup is InProgress',
    ends: 'Failed',
    operation: 'none',
    snapshot: /^Canceled$/,
    reason: /InProgress/,
    happens: async (dying) => {
      await atCall(dying, { match: /^velero: POST snapshots/, when: 'after' }, () => restartServer(dying))
      const phase = async () => (await listOf(dying.environment, 'Snapshot', dying.name))[0]?.['status']?.phase
      await until('our Snapshot is cancelled', async () => (await phase()) === 'Canceled', 60_000)
    },
  },
  {
    dies: 'the server while the Backup waits for us',
    ends: 'Completed',
    operation: 'completed',
    snapshot: /^Uploaded$/,
    happens: async (dying) => {
      await waits(dying)
      await restartServer(dying)
      dying.uploads.release()
    },
  },
  {
    dies: 'the server while the Backup is Finalizing',
    ends: 'Completed',
    operation: 'completed',
    snapshot: /^Uploaded$/,
    happens: async (dying) => {
      await untilFinalizing(dying)
      await restartServer(dying)
    },
  },
  {
    dies: 'the API server for 15 s while Progress is asked',
    ends: 'Completed',
    operation: 'completed',
    snapshot: /^Uploaded$/,
    happens: async (dying) => {
      await waits(dying)
      const { kubernetes } = dying.environment.parts.faults!
      await kubernetes.away()
      await sleep(15 * SECOND_MS)
      await kubernetes.back()
      await sleep(5 * SECOND_MS)
      dying.uploads.release()
    },
  },
]

const deaths = suite('deaths around a Backup of Velero')
let environment: Environment

deaths.before(async () => {
  environment = await startWithPlugin()
})
deaths.after(async () => {
  await environment.stop()
})

for (const [index, death] of DEATHS.entries())
  deaths(`${death.dies}: it ends as ${death.ends}, and nothing is left`, async () => {
    const name = `death-${index}`
    await aFilledVolume(environment, name, 'data')
    const uploads = holdUploads(environment)
    try {
      const happened = death.happens({ environment, name, uploads })
      const options = ['--include-namespaces', name, ...(death.options ?? [])]
      const created = environment.velero('backup', 'create', name, ...options)
      await Promise.all([happened, created])
      const phase = await untilPhase(environment, 'Backup', name, OVER, 90_000)
      assert.is(phase, death.ends, await environment.velero('backup', 'describe', name, '--details'))
    } finally {
      uploads.release()
    }
    await assertTold(name, death)
    await assertNothingLeft(environment)
    const snapshots = await listOf(environment, 'Snapshot', name)
    assert.is(snapshots.length, death.snapshot === undefined ? 0 : 1)
    for (const { status } of snapshots as never as { status: { phase: string } }[])
      assert.match(status.phase, death.snapshot!)
  })

/** Every failure shows its reason. */
async function assertTold(name: string, { ends, operation, reason }: Death): Promise<void> {
  const status = (await runOf(environment, 'Backup', name))?.['status'] ?? {}
  const { backupItemOperationsCompleted: completed = 0, backupItemOperationsFailed: failed = 0 } = status
  const details = await environment.velero('backup', 'describe', name, '--details')
  const told = `${status.failureReason ?? ''}\n${details}`
  assert.equal([completed, failed], [operation === 'completed' ? 1 : 0, operation === 'failed' ? 1 : 0], told)
  if (ends === 'Completed') assert.is(status.errors ?? 0, 0, told)
  else assert.match(told, reason!)
}

deaths.run()
