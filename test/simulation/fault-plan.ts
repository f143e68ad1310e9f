// The fault plan of one run: how much of what may go wrong one simulation run gets.

export type FaultPlan = {
  /** Chances per event. */
  drop: number
  double: number
  /** Chance per write of a process that it dies right after it. */
  die: number
  /** A call takes up to that many turns, so that processes get between each other's calls. */
  latencyTurns?: number
  /** Chance per call of any other trouble. */
  trouble?: number
  /** So many troubles, and then it clears up: what is asked for must come to its end. */
  most?: number
  /** Chance that a process is born with, or gets, a wall clock that is an hour off. */
  clocks?: number
  /** Requests are cut off when they are as old as they may be; older lists of steps know nothing of that. */
  limits?: boolean
  /** What an ordinary call takes: 0 no time, 1 milliseconds, 60 seconds. */
  pace?: number
  /** Chance per call that it takes seconds to minutes; that it never returns. */
  slow?: number
  hang?: number
  /** So many of these at each server, and then none: the API server gets most calls, and would have them all. */
  mostDelays?: number
  /** Chance that a process's clock differs from the API server's, by seconds to a year. */
  skew?: number
  /** Chance per call of the API server that a clock jumps a year, or back to the true time. */
  jump?: number
}
export const NO_FAULTS: FaultPlan = { drop: 0, double: 0, die: 0 }

export type Port = 'cluster' | 'vcenter' | 'store' | 'disk'

/** What the adapter of a server that is away says. */
export const AWAY: Record<Port, string> = {
  cluster: 'KubernetesUnavailable',
  vcenter: 'VCenterUnreachable',
  store: 'S3Unavailable',
  disk: 'VddkConnectionLost',
}

/** And where it says that it comes from. */
export function originOf(port: Port): { origin?: 'api' } {
  return port === 'cluster' ? { origin: 'api' } : {}
}
