// Moments in a Backup of the real Velero at which something dies.

import * as assert from 'uvu/assert'
import type { Environment } from '#test/environment/environment.ts'
import type { Rule } from '#test/environment/faults/fault-plan.ts'
import { killProcess } from '#test/environment/faults/victims.ts'
import { until } from '#test/environment/fixtures/echo/start.ts'
import { type holdUploads, untilPhase } from './velero.ts'

const PLUGIN = 'velero-plugin-dormouse'
const WAITS = /^WaitingForPluginOperations$/
/** The time limit for a call to come: the whole test has less than two minutes. */
const CALL_MS = 60_000

export type Dying = { environment: Environment; name: string; uploads: ReturnType<typeof holdUploads> }
type Moment = Pick<Rule, 'match' | 'fault'> & { when: 'before' | 'after' }

/** Resolves when a matching call has come and `act` is done. */
export async function atCall({ environment }: Dying, { when, ...rule }: Moment, act: () => Promise<void>) {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const { plan } = environment.parts.faults!
  const from = plan.calls.length
  const came = () =>
    plan.calls
      .slice(from)
      .filter(({ writes }) => writes)
      .map(({ point }) => point)
  const missing = () => new Error(`no call is ${rule.match}; these came: ${came().slice(-60).join(', ')}`)
  const limit = setTimeout(() => reject(missing()), CALL_MS)
  const happen = async () => await act().then(resolve, reject)
  const { remove } = plan.add({ ...rule, server: 'kubernetes', [when]: happen })
  await promise.finally(() => {
    clearTimeout(limit)
    remove()
  })
}

/** The end of the Backup is observed here: it is the first thing that Velero does in Finalizing. */
export async function untilFinalizing(dying: Dying): Promise<void> {
  await waits(dying)
  const finalizing = { match: /^velero: P\w+ backups.* phase=Finalizing/, when: 'after' } as const
  const begun = atCall(dying, finalizing, async () => undefined)
  dying.uploads.release()
  await begun
}

/** All processes of the plugin, because calls arrive through the relay of Velero's network, which hides the process. */
export async function killPlugin({ environment }: Dying): Promise<void> {
  const pids = environment.parts.velero!.pluginPids(PLUGIN)
  assert.ok(pids.length > 0, 'the plugin is to be killed, and does not run')
  await Promise.all(pids.map(killProcess))
}

/** Sends SIGKILL, and starts the server when it is gone. */
export async function restartServer({ environment }: Dying): Promise<void> {
  await environment.parts.velero!.down()
  await environment.parts.velero!.up()
}

/** Waits until Velero waits for the operation and the data is held up. */
export async function waits({ environment, name, uploads }: Dying): Promise<void> {
  await untilPhase(environment, 'Backup', name, WAITS)
  await until('an upload is held up', () => uploads.held() > 0)
}
