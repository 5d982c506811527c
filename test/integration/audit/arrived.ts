import { ObjectId, type Document } from "mongodb";

/** The events as if they had been stored so many seconds ago: their ids say so. */
export function arrived<E extends Document>(events: Iterable<E>, secondsAgo: number): (E & { _id: ObjectId })[] {
  const second = Math.floor(Date.now() / 1_000) - secondsAgo;
  const time = ObjectId.createFromTime(second).toHexString().slice(0, 8);
  return Array.from(events, (event) => {
    return { _id: ObjectId.createFromHexString(time + new ObjectId().toHexString().slice(8)), ...event };
  });
}
