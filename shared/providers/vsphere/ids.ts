// Ids that come from custom resources, and so from users, are checked before they are put into a request.

import { TerminalError } from '#shared/kernel/errors.ts'

/** vSphere writes FCD and snapshot ids as UUIDs. Throws TerminalError VSphereIdInvalid. */
export function checkId(id: string, what: 'volume' | 'snapshot'): string {
  if (/^[0-9a-fA-F-]{1,64}$/.test(id)) return id
  const hint = id.startsWith('file:') ? ' (a vSAN file share is no block volume)' : ''
  throw new TerminalError('VSphereIdInvalid', `${what} id ${quote(id)} is not a vSphere id${hint}; expected a UUID`)
}

/** A task's managed object id, such as `task-42`; vCenter may add the vslm service's own prefix. */
export function checkTask(task: string): string {
  if (/^[A-Za-z0-9._:-]{1,256}$/.test(task)) return task
  throw new TerminalError('VSphereIdInvalid', `task ${quote(task)} is not a vSphere task id`)
}

/** vSphere's change ids: 16 bytes that name the tracking, and the epoch in it (vsphere-csi-driver checks the same form). */
type ChangeId = { tracking: string; epoch: number }

export function parseChangeId(text: string): ChangeId | undefined {
  const found = /^([0-9a-f]{2}(?: [0-9a-f]{2}){7}-[0-9a-f]{2}(?: [0-9a-f]{2}){7})\/(\d{1,15})$/i.exec(text)
  return found?.[1] === undefined ? undefined : { tracking: found[1].toLowerCase(), epoch: Number(found[2]) }
}

function quote(id: string): string {
  return JSON.stringify(id.slice(0, 80))
}
