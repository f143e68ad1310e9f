// The fault plan of one run: how often each kind of fault happens.

export type FaultPlan = {
  /** Probabilities per event. */
  drop: number
  double: number
  /** Probability per write of a process that it dies right after it. */
  die: number
  /** A call takes up to so many turns, so that calls of other processes come in between. */
  latencyTurns?: number
  /** Probability per call of any other fault. */
  trouble?: number
  /** After so many faults there are no more, so that all work must reach its end. */
  most?: number
  /** Probability that a process starts with, or gets, a wall clock that is an hour off. */
  clocks?: number
  /** Requests are cut off at their maximum age. Older recorded lists were made without this. */
  limits?: boolean
  /** How long an ordinary call takes: 0 no time, 1 milliseconds, 60 seconds. */
  pace?: number
  /** Probability per call that it takes seconds to minutes (`slow`), or never returns (`hang`). */
  slow?: number
  hang?: number
  /** The most of these for each server: the API server gets most calls, and would get all of them otherwise. */
  mostDelays?: number
  /** Probability that a process's clock differs from the API server's, by seconds to a year. */
  skew?: number
  /** Probability per call of the API server that a clock jumps by a year, or back to the true time. */
  jump?: number
}
export const NO_FAULTS: FaultPlan = { drop: 0, double: 0, die: 0 }

export type Port = 'cluster' | 'vcenter' | 'store' | 'disk'

/** The reason that the adapter reports when its server is away. */
export const AWAY: Record<Port, string> = {
  cluster: 'KubernetesUnavailable',
  vcenter: 'VCenterUnreachable',
  store: 'S3Unavailable',
  disk: 'VddkConnectionLost',
}

/** The `origin` of the error that the adapter reports. */
export function originOf(port: Port): { origin?: 'api' } {
  return port === 'cluster' ? { origin: 'api' } : {}
}
