// Polls a vslm task once. vslm offers no way to wait for a task; callers poll again (docs/development/vsphere.md#tasks).

import { RetryableError } from '#shared/kernel/errors.ts'
import { excerptOf } from '#shared/kernel/excerpt.ts'
import type { TaskState } from '#shared/ports/volumes.ts'
import { errorOf, localizedFaultOf, missingOf, taskErrorOf } from './faults.ts'
import type { Session } from './session.ts'
import { type Moref, VSLM } from './soap.ts'
import { childOf, integerOf, textOf, type XmlObject, type XmlValue } from './xml.ts'

/** Throws TaskFailed or TaskNotFound when the task is over and did not do its work, so that it must be started again. */
export async function queryTask(session: Session, vcenter: string, task: string): Promise<TaskState> {
  const on: Moref = { type: 'VslmTask', id: task }
  const info = await query(session, vcenter, 'VslmQueryInfo', on)
  const state = textOf(info, 'state')
  switch (state) {
    case 'queued':
    case 'running':
      return { state: 'running', percent: integerOf(info, 'progress') }
    case 'error':
      throw taskErrorOf(localizedFaultOf(childOf(info, 'error')), vcenter, task)
    case 'success':
      return {
        state: 'done',
        result: idOf(info?.['result']) ?? idOf(await query(session, vcenter, 'VslmQueryTaskResult', on)),
      }
    default:
      throw new RetryableError(
        'VCenterAnswerUnreadable',
        `vCenter ${vcenter} gives ${task} the unknown state ${excerptOf(state ?? 'none', 60)}`,
      )
  }
}

async function query(session: Session, vcenter: string, method: string, on: Moref): Promise<XmlObject | undefined> {
  try {
    return childOf((await session.call({ service: VSLM, method, on, repeatable: true })).response, 'returnval')
  } catch (error) {
    if (missingOf(error) === undefined) throw errorOf(error, vcenter, `tell the state of ${on.id}`)
    // vCenter forgets finished tasks after a while, and all tasks when its service restarts.
    throw new RetryableError('TaskNotFound', `vCenter ${vcenter} does not know ${on.id} any more`, { cause: error })
  }
}

/** The result of a snapshot is an ID, that of a new disk a VStorageObject. */
function idOf(result: XmlValue | XmlValue[] | undefined): string | undefined {
  if (result === undefined || Array.isArray(result)) return undefined
  return textOf(result, 'id') ?? textOf(childOf(childOf(result, 'config'), 'id'), 'id')
}
