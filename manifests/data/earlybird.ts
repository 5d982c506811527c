/** A dairy's customers: half of the orders' users have 50 orders each, one a week. */
import { daysBefore, momentWithin, type SampleData, type SampleShape } from "./fill.ts";
import type { Chance } from "./random.ts";

/** The document's example: 50 of 100,000 orders are a user's. */
const ORDERS_OF_A_USER = 50;

const customerOf = ({ rows }: SampleShape, chance: Chance) =>
  `user-${chance.below(Math.max(1, Math.round(rows / ORDERS_OF_A_USER)))}`;

const address = (n: number) => ({
  street: `${1 + (n % 240)} ${["Lake View Road", "Temple Street", "Station Road", "Park Avenue"][n % 4] ?? ""}`,
  area: `Area ${n % 60}`,
  city: "Pune",
  pincode: String(411_001 + (n % 60)),
});

/** EarlyBird's collections. */
export const earlybirdData: SampleData = {
  collections: {
    users: {
      share: 1,
      make: (n, chance, shape) => ({
        id: `user-${n}`,
        ...(chance.isOneIn(20) ? {} : { email: `user${n}@example.com` }), // customers that ordered by telephone
        name: `Customer ${n}`,
        phone: `+9198${String(n).padStart(8, "0")}`,
        role: chance.weighted({ CUSTOMER: 990, DELIVERY_BOY: 8, ADMIN: 1, SUPPORT: 1 }),
        address: address(n),
        is_active: !chance.isOneIn(30),
        created_at: momentWithin(shape, 900, chance),
      }),
    },
    orders: {
      share: 1,
      make: (n, chance, shape) => ({
        id: `order-${n}`,
        user_id: customerOf(shape, chance),
        delivery_date: daysBefore(shape, chance.below(365) - 3),
        status: chance.weighted({ DELIVERED: 880, CANCELLED: 60, CONFIRMED: 40, PENDING: 20 }),
        items: Array.from({ length: 1 + chance.below(4) }, () => ({
          product_id: `product-${chance.below(500)}`,
          quantity: 1 + chance.below(3),
          price: 20 + chance.below(120),
        })),
        total: 60 + chance.below(600),
        address: address(n),
        created_at: momentWithin(shape, 365, chance),
      }),
    },
    subscriptions_v2: {
      share: 1,
      make: (n, chance, shape) => ({
        id: `subscription-${n}`,
        customer_id: `user-${n}`,
        product_id: `product-${chance.below(500)}`,
        status: chance.weighted({ active: 60, paused: 10, cancelled: 30 }),
        schedule: { kind: "daily", quantity: 1 + chance.below(3), weekdays: [1, 2, 3, 4, 5] },
        created_at: momentWithin(shape, 900, chance),
      }),
    },
    products: {
      share: 0.02,
      make: (n, chance) => ({
        id: `product-${n}`,
        name: `Product ${n}`,
        category: `category-${n % 25}`,
        price: 20 + chance.below(400),
        stock: chance.below(1_000),
      }),
    },
    delivery_statuses: {
      share: 1,
      make: (n, chance, shape) => ({
        // A field that came later: one of ten deliveries is from before.
        ...(n % 10 === 9 ? {} : { order_id: `order-${n}` }),
        customer_id: customerOf(shape, chance),
        delivery_date: daysBefore(shape, chance.below(365)),
        status: chance.weighted({ delivered: 95, missed: 3, returned: 2 }),
        delivery_boy_id: `user-${chance.below(200)}`,
        updated_at: momentWithin(shape, 365, chance),
      }),
    },
    leads: {
      share: 0.5,
      make: (n, chance, shape) => ({
        id: `lead-${n}`,
        status: chance.weighted({ lost: 70, new: 15, contacted: 13, won: 2 }),
        name: `Lead ${n}`,
        phone: `+9197${String(n).padStart(8, "0")}`,
        source: chance.of(["web", "referral", "event", "leaflet"]),
        created_at: momentWithin(shape, 730, chance),
      }),
    },
    billing_records: {
      share: 1,
      make: (n, chance, shape) => ({
        id: `bill-${n}`,
        customer_id: customerOf(shape, chance),
        period: daysBefore(shape, 30 * chance.below(36))
          .toISOString()
          .slice(0, 7),
        status: chance.weighted({ settled: 93, open: 5, disputed: 2 }),
        amount: 300 + chance.below(4_000),
        created_at: momentWithin(shape, 1_080, chance),
      }),
    },
    suppliers: {
      share: 0.01,
      make: (n) => ({ id: `supplier-${n}`, email: `supplier${n}@example.com`, name: `Supplier ${n}` }),
    },
  },
  tables: {},
  prepare: () => Promise.resolve(),
};
