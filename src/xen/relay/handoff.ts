import { Observable, type Subscriber } from 'rxjs';

/** A stream for one subscriber that loses nothing before it came: what arrives earlier waits, the oldest beyond `limit` is dropped. */
export interface Handoff<T> {
  readonly stream$: Observable<T>;
  next(value: T): void;
  complete(): void;
}

export function handoff<T>(limit: number): Handoff<T> {
  const waiting: T[] = [];
  let subscriber: Subscriber<T> | undefined;
  let done = false;
  const stream$ = new Observable<T>((to) => {
    if (subscriber !== undefined) throw new Error('this stream was handed to its one subscriber already');
    subscriber = to;
    for (const value of waiting.splice(0)) to.next(value);
    if (done) to.complete();
  });
  return {
    stream$,
    next(value) {
      if (done) return;
      if (subscriber !== undefined) subscriber.next(value);
      else if (waiting.push(value) > limit) waiting.shift();
    },
    complete() {
      done = true;
      subscriber?.complete();
    },
  };
}
